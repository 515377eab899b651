"""The training stage's workers, as the sweep's process sees them: tasks go out, how each ended comes back.

The workers are forked by `bench.sweep.fork_server`, the other end: one server process that has imported torch forks a
child for each task. Both ends speak JSON lines over a socket; a child's own result comes through a pipe that is opened
here and handed to the server with the task.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import LaunchError
from bench.machine.environment import python_command, worker_environment
from bench.machine.exits import explain_exit
from bench.machine.lines import LineReader
from bench.machine.logs import discard_if_empty, log_size, read_tail
from bench.machine.processes import START_LIMIT_S, kill_group

FORK_SERVER = python_command("bench.sweep.fork_server")
KILL_LIMIT_S = 60.0  # for a killed worker's end to be reported
EXIT_LIMIT_S = 5.0  # for a fork server that closed its socket to end by itself


@dataclass(frozen=True)
class Outcome:
    """How one task ended: its message, or the cause and reason of there being none."""

    id: int
    message: dict[str, Any] | None
    cause: str = ""
    reason: str = ""


@dataclass
class _Job:
    pid: int
    pipe: int
    log: Path
    log_start: int
    limit_s: float
    deadline: float
    received: bytes = b""
    closed: bool = False
    status: int | None = None
    late: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing more will come. A process that a late worker left behind may hold its pipe open for ever."""
        return self.status is not None and (self.closed or self.late)


class ForkPool:
    """Runs tasks in children that a server process forks.

    Use as a context manager; leaving it kills the server and every child.

    **Arguments:**

    - `logs`: a folder for the workers' standard error.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._jobs: dict[int, _Job] = {}
        self._selector = selectors.DefaultSelector()
        self._control, theirs = socket.socketpair()
        self._log = logs / "forkserver.log"
        self._log_start = log_size(self._log)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*FORK_SERVER, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=worker_environment(1),
                start_new_session=True,
            )
        theirs.close()
        self._control.settimeout(START_LIMIT_S)
        self._replies = LineReader(self._control.fileno())
        self._selector.register(self._control, selectors.EVENT_READ)

    def __enter__(self) -> ForkPool:
        return self

    def __exit__(self, *_: object) -> None:
        for job in self._jobs.values():
            kill_group(job.pid)
            if not job.closed:
                os.close(job.pipe)
        self._jobs.clear()
        self._control.close()
        self._selector.close()
        kill_group(self._process.pid)
        self._process.wait()
        discard_if_empty(self._log)

    def load(self, data: list[tuple[str, dict[str, Any]]], root: Path, extensions: list[str], *, download: bool) -> str:
        """Imports the extensions and reads the data sets (a name and the fields of `lenet.variant.Form` each). Returns
        what is wrong in one line, or "".
        """
        self._send(
            {"kind": "load", "data": data, "data_root": str(root), "extensions": extensions, "download": download}
        )
        error: str = self._receive(START_LIMIT_S)["error"]
        return error

    def submit(self, number: int, task: dict[str, Any], limit_s: float) -> None:
        """Starts a task. Its outcome comes from `wait` with the same number."""
        read_end, write_end = os.pipe()
        log = self._logs / f"train-{number}.log"
        log_start = log_size(log)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._send({"kind": "run", "id": number, "task": task}, [write_end, descriptor])
        finally:
            os.close(write_end)
            os.close(descriptor)
        # Other children may end before this one is started: their news is kept for `wait`. This one's own end comes
        # after its start, so it is registered by then; it may lie in the buffer already, where `wait` looks first.
        try:
            while (reply := self._receive(START_LIMIT_S))["kind"] != "started":
                self._note_end(reply)
        except BaseException:
            os.close(read_end)
            raise
        self._jobs[number] = _Job(reply["pid"], read_end, log, log_start, limit_s, time.monotonic() + limit_s)
        self._selector.register(read_end, selectors.EVENT_READ, number)

    def wait(self) -> list[Outcome]:
        """Sleeps until at least one task has ended, and returns those that have. Raises `LaunchError` if the server
        died or lost sight of a worker that was killed.
        """
        while self._read_news(0.0):
            pass  # all that has come already is heard before anyone is judged late
        while True:
            timeout = self._kill_late()
            ended = [number for number, job in self._jobs.items() if job.ended]
            if ended:
                return [self._finish(number) for number in ended]
            self._read_news(timeout)

    def _read_news(self, timeout: float | None) -> bool:
        """Reads what the server and the workers wrote; sleeps up to `timeout` seconds (None: without limit) for it.
        Returns whether there was any.
        """
        self._note_buffered()  # a line that `submit` received with its own would not wake select again
        ready = self._selector.select(timeout)
        for key, _ in ready:
            if key.data is None:
                self._note_end(self._receive(START_LIMIT_S))
                self._note_buffered()
            else:
                self._read(self._jobs[key.data])
        return bool(ready)

    def _note_buffered(self) -> None:
        while self._replies.has_line:
            self._note_end(self._receive(START_LIMIT_S))

    def _kill_late(self) -> float | None:
        """Kills the workers that are over their time; returns the seconds until the next deadline (None: there is
        none).
        """
        now = time.monotonic()
        for number, job in self._jobs.items():
            if job.ended or now < job.deadline:
                continue
            if job.late:
                raise LaunchError(f"the fork server did not report the end of task {number} {KILL_LIMIT_S:g} s after "
                                  "its worker was killed")  # fmt: skip
            job.late, job.deadline = True, now + KILL_LIMIT_S
            kill_group(job.pid)
        return min((max(0.0, job.deadline - now) for job in self._jobs.values()), default=None)

    def _read(self, job: _Job) -> None:
        data = os.read(job.pipe, 1 << 16)
        job.received += data
        if not data:
            self._close(job)

    def _close(self, job: _Job) -> None:
        self._selector.unregister(job.pipe)
        os.close(job.pipe)
        job.closed = True

    def _note_end(self, reply: dict[str, Any]) -> None:
        if reply["kind"] == "ended" and reply["id"] in self._jobs:
            self._jobs[reply["id"]].status = reply["status"]

    def _finish(self, number: int) -> Outcome:
        job = self._jobs.pop(number)
        assert job.status is not None
        if not job.closed:
            self._close(job)
        log = read_tail(job.log, job.log_start)
        discard_if_empty(job.log)
        if job.late:
            return Outcome(number, None, "timeout", f"the worker did not end within {job.limit_s:g} s and was killed")
        if job.received.endswith(b"\n"):
            return Outcome(number, json.loads(job.received))
        return Outcome(number, None, *explain_exit(job.status, log))

    def _send(self, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
        data = (json.dumps(message) + "\n").encode()
        try:
            sent = socket.send_fds(self._control, [data], descriptors or [])
            self._control.sendall(data[sent:])
        except OSError as error:
            raise self._died() from error

    def _receive(self, limit_s: float) -> dict[str, Any]:
        try:
            return self._replies.read(limit_s)
        except TimeoutError as error:
            raise LaunchError(f"the fork server did not answer within {limit_s:g} s") from error
        except EOFError as error:
            raise self._died() from error

    def _died(self) -> LaunchError:
        try:  # its own exit says why; killed at once, every server would seem to have been killed by someone
            status = self._process.wait(EXIT_LIMIT_S)
        except subprocess.TimeoutExpired:
            kill_group(self._process.pid)
            status = self._process.wait()
        return LaunchError(f"the fork server died: {explain_exit(status, read_tail(self._log, self._log_start))[1]}")
