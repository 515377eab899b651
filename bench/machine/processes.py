"""Starting workers and waiting for them: tasks go in, messages and the manner of their end come out.

The parent sleeps in `select` until a worker writes, ends or runs over its time; it never polls. Every worker leads a
process group of its own, so that it can be ended with whatever it started, and so that Ctrl-C reaches the parent alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.errors import LaunchError
from bench.machine.environment import child_environment, python_command
from bench.machine.exits import explain_exit
from bench.machine.lines import LineReader
from bench.machine.logs import discard_if_empty, log_size, read_tail

WORKER = python_command("bench.sweep.worker")
START_LIMIT_S = 300.0  # for an interpreter to import torch and read the data


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
            WORKER,
            input=json.dumps(task) + "\n",
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
            env=child_environment(),
        )
        message: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired as error:
        raise LaunchError(f"a worker did not answer '{task['kind']}' within {limit_s:g} s") from error
    except json.JSONDecodeError as error:
        raise LaunchError(explain_exit(done.returncode, done.stderr)[1]) from error
    return message


class WorkerProcess:
    """A fresh interpreter that answers line by line. A context manager; leaving it kills the process and its group.

    **Arguments:**

    - `task`: its first line.
    - `environment`: all of its variables, as `bench.machine.environment.worker_environment` makes them.
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
        assert self._process.stdout is not None
        self._lines = LineReader(self._process.stdout.fileno())
        self.failure: tuple[str, str] | None = None
        """Cause and reason, once it has died, hung, or said something that is not JSON."""
        self.answer(json.dumps(task))

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        kill_group(self._process.pid)
        self._process.wait()
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
        """The worker's next line; None, and `failure` says why, if it dies, says something that is not JSON, or says
        no whole line for `limit_s` seconds.
        """
        try:
            return self._lines.read(limit_s)
        except TimeoutError:
            self.failure = "timeout", f"the worker was silent for {limit_s:g} s and was killed"
        except EOFError:
            self.failure = explain_exit(self._process.wait(), read_tail(self._log, self._log_start))
        except ValueError as error:
            self.failure = "crashed", f"the worker wrote {error}"
        return None

    def messages(self, limit_s: float) -> Iterator[dict[str, Any]]:
        """The worker's lines until it is done, or until it fails as in `receive`."""
        while (message := self.receive(limit_s)) is not None and message["kind"] != "done":
            yield message
