"""Starting workers and waiting for them: tasks go in, messages and the manner of their end come out.

The parent sleeps in `select` until a worker writes, ends or runs over its time; it never polls. Every worker leads a
process group of its own, so that it can be ended with whatever it started, and so that Ctrl-C reaches the parent alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import LaunchError as LaunchError
from bench.machine import worker_environment

WORKER = [sys.executable, "-m", "bench.worker"]
FORK_SERVER = [sys.executable, "-m", "bench.forkserver"]
OUT_OF_MEMORY = ("out of memory", "allocate memory", "memoryerror", "bad_alloc", "not enough memory")
START_LIMIT_S = 300.0  # for an interpreter to import torch and read the data
KILL_LIMIT_S = 60.0  # for a killed worker's end to be reported
EXIT_LIMIT_S = 5.0  # for a fork server that closed its socket to end by itself


@dataclass(frozen=True)
class Outcome:
    """How one task ended: its message, or the cause and reason of there being none."""

    id: int
    message: dict[str, Any] | None
    cause: str = ""
    reason: str = ""


def explain_exit(status: int, log: str) -> tuple[str, str]:
    """Cause and reason for a worker's exit status (negative: the signal), with the last line it printed."""
    last = log.strip().splitlines()[-1][:300] if log.strip() else ""
    if any(words in last.lower() for words in OUT_OF_MEMORY):
        return "out_of_memory", last
    if status < 0:
        names = {number.value: number.name for number in signal.Signals}
        name = names.get(-status, f"signal {-status}")
        if -status == signal.SIGKILL:
            return "killed", f"the worker was killed ({name}); by a person, or by the kernel for want of memory"
        return "crashed", f"the worker crashed ({name})" + (f": {last}" if last else "")
    return "crashed", f"the worker ended with exit code {status} and no result" + (f": {last}" if last else "")


def log_size(path: Path) -> int:
    """Where a log ends that others may have written to before."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def read_tail(path: Path, start: int = 0) -> str:
    """The last 4 KiB of a log, of what was written from `start` on."""
    try:
        with path.open("rb") as file:
            file.seek(max(start, path.stat().st_size - 4096))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def discard_if_empty(log: Path) -> None:
    """Removes the log of a worker that had nothing to say."""
    with contextlib.suppress(OSError):
        if log.stat().st_size == 0:
            log.unlink()


def kill_group(pid: int) -> None:
    """Ends a worker and whatever it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def ask(task: dict[str, Any], limit_s: float = START_LIMIT_S) -> dict[str, Any]:
    """Runs a short task (`probe`, `choices`) in a fresh interpreter and returns its one message. Raises
    `LaunchError`.
    """
    try:
        done = subprocess.run(
            WORKER, input=json.dumps(task) + "\n", capture_output=True, text=True, timeout=limit_s, check=False
        )
        message: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired as error:
        raise LaunchError(f"a worker did not answer '{task['kind']}' within {limit_s:g} s") from error
    except json.JSONDecodeError as error:
        raise LaunchError(explain_exit(done.returncode, done.stderr)[1]) from error
    return message


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


class ForkServer:
    """The training stage's workers: forked from one process that has imported torch.

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
        self._buffer = b""
        self._selector.register(self._control, selectors.EVENT_READ)

    def __enter__(self) -> ForkServer:
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

    @property
    def running(self) -> int:
        """Tasks submitted and not yet ended."""
        return len(self._jobs)

    def prepare(
        self, data: list[tuple[str, dict[str, Any]]], root: Path, extensions: list[str], *, download: bool
    ) -> str:
        """Imports the extensions and reads the data sets (a name and the fields of `lenet.variant.Form` each). Returns
        what is wrong in one line, or "".
        """
        self._send(
            {"kind": "prepare", "data": data, "data_root": str(root), "extensions": extensions, "download": download}
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
        while b"\n" in self._buffer:
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
        self._control.settimeout(limit_s)
        while b"\n" not in self._buffer:
            try:
                data = self._control.recv(1 << 16)
            except TimeoutError as error:
                raise LaunchError(f"the fork server did not answer within {limit_s:g} s") from error
            except OSError:
                data = b""
            if not data:
                raise self._died()
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def _died(self) -> LaunchError:
        try:  # its own exit says why; killed at once, every server would seem to have been killed by someone
            status = self._process.wait(EXIT_LIMIT_S)
        except subprocess.TimeoutExpired:
            kill_group(self._process.pid)
            status = self._process.wait()
        return LaunchError(f"the fork server died: {explain_exit(status, read_tail(self._log, self._log_start))[1]}")


class WorkerProcess:
    """A fresh interpreter that answers line by line. A context manager; leaving it kills the process and its group.

    **Arguments:**

    - `task`: its first line.
    - `environment`: all of its variables, as `bench.machine.worker_environment` makes them.
    - `log`: a file for its standard error.
    - `command`: what to start; tests put a scripted worker here.
    """

    def __init__(
        self, task: dict[str, Any], environment: dict[str, str], log: Path, command: list[str] | None = None
    ) -> None:
        self._log, self._log_start = log, log_size(log)
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command or WORKER,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                start_new_session=True,
            )
        self._selector = selectors.DefaultSelector()
        assert self._process.stdout is not None
        self._selector.register(self._process.stdout, selectors.EVENT_READ)
        self._buffer = b""
        self.failure: tuple[str, str] | None = None
        """Cause and reason, once it has died, hung, or said something that is not JSON."""
        self.answer(json.dumps(task))

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        kill_group(self._process.pid)
        self._process.wait()
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                assert pipe is not None
                pipe.close()
        discard_if_empty(self._log)

    def answer(self, line: str) -> None:
        """Writes a line to the worker; one that has died is noticed by `receive`."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def close_input(self) -> None:
        """Nothing more will be written: a worker that reads until then may end."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def receive(self, limit_s: float) -> dict[str, Any] | None:
        """The worker's next line; None, and `failure` says why, if it dies, says something that is not JSON, or is
        silent for `limit_s` seconds.
        """
        assert self._process.stdout is not None
        while b"\n" not in self._buffer:
            if not self._selector.select(limit_s):
                self.failure = "timeout", f"the worker was silent for {limit_s:g} s and was killed"
                return None
            data = os.read(self._process.stdout.fileno(), 1 << 16)
            if not data:
                self.failure = explain_exit(self._process.wait(), read_tail(self._log, self._log_start))
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message: dict[str, Any] = json.loads(line)
            if isinstance(message, dict):
                return message
        except ValueError:
            pass
        self.failure = "crashed", f"the worker wrote a line that is not JSON, or no object: {line[:80]!r}"
        return None

    def messages(self, limit_s: float) -> Iterator[dict[str, Any]]:
        """The worker's lines until it is done, or until it fails as in `receive`."""
        while (message := self.receive(limit_s)) is not None and message["kind"] != "done":
            yield message
