"""The tracking worker as its parent sees it: started at once, asked for things, and never waited for longer than said.

A store's URI goes in; what a sync did comes out as lines for people. No MLflow in this process: its import takes 3 s,
and its threads and memory have no business in the process that drives a sweep.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import TrackingError
from bench.machine.environment import child_environment, python_command
from bench.machine.exits import explain_exit
from bench.machine.lines import LineReader
from bench.machine.processes import kill_group
from bench.records.run import Run
from bench.tracking.failures import PROBE_S

WORKER = python_command("bench.tracking.worker")
START_LIMIT_S = 15.0  # import and first database; a sweep waits no longer before it times
CLOSE_LIMIT_S = 5.0
SILENCE_LIMIT_S = 300.0  # a worker that says nothing for so long is ended

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Synced:
    """What a sync did, where to look, and what became of the model: lines for people."""

    text: str
    links: list[str] = field(default_factory=list)
    model: str = ""


class Tracker:
    """A tracking worker, running. A context manager; leaving it ends the worker.

    **Arguments:**

    - `uri`: as `bench.tracking.uri.resolve_uri` returns it. `results`: the results folder.
    - `patience_s`: seconds in all for which failing calls are tried again.
    """

    def __init__(self, uri: str, results: Path, patience_s: float = PROBE_S) -> None:
        self.uri = uri
        self._settings = {"uri": uri, "results": str(results.resolve()), "patience_s": patience_s}
        self._start()

    def _start(self) -> None:
        self._busy, self._running = False, True
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed in __exit__
        self._process = subprocess.Popen(
            WORKER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=child_environment(),
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self._lines = LineReader(self._answers.fileno())
        self._write(self._settings)

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._requests.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_LIMIT_S)
        self._end()

    def _end(self) -> None:
        if not self._running:
            return
        self._busy, self._running = False, False
        with contextlib.suppress(OSError):
            self._requests.close()
        kill_group(self._process.pid)
        self._process.wait()
        self._answers.close()
        self._log.close()

    def open(self, run: Run) -> None:
        """Asks for the sweep's run, and does not wait for it."""
        self._write({"do": "open", "run": str(run.path), "process": os.getpid()})
        self._busy = True

    def settle(self, limit_s: float = START_LIMIT_S) -> None:
        """Waits until the worker has nothing to do. One that takes longer is ended; `sync` starts another."""
        if self._busy and self._receive(limit_s) is None:
            self._end()  # and no other one before `sync`: its start would fall into the timing

    def sync(
        self,
        run: Run,
        *,
        artifacts: Sequence[Path] = (),
        dry_run: bool = False,
        model: bool = True,
        port: int = 5000,
        on_progress: Progress | None = None,
    ) -> Synced:
        """Brings the store into agreement with a run and logs its best trial as a model.

        Raises `TrackingError` of one line that says what to run later.
        """
        self.settle(SILENCE_LIMIT_S)
        if not self._running:
            self._start()
        request = {"do": "sync", "run": str(run.path), "artifacts": [str(path) for path in artifacts]}
        self._write({**request, "dry_run": dry_run, "model": model, "port": port})
        self._busy = True
        while True:
            message = self._receive(SILENCE_LIMIT_S, on_progress)
            if message is None:
                kill_group(self._process.pid)
                raise self._failed(f"the tracking worker was silent for {SILENCE_LIMIT_S:g} s and was ended", run)
            if message["kind"] == "died":
                raise self._failed(message["reason"], run)
            if message["kind"] == "failed":
                raise TrackingError(message["reason"])
            return Synced(message["text"], message["links"], message.get("model", ""))

    @staticmethod
    def _failed(reason: str, run: Run) -> TrackingError:
        return TrackingError(f"{reason}; the records are safe, send them later with: lenet-bench sync {run.path}")

    def _write(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(json.dumps(message).encode() + b"\n")
            self._requests.flush()

    def _receive(self, limit_s: float, on_progress: Progress | None = None) -> dict[str, Any] | None:
        """The answer to the request that is under way; None if nothing is heard for `limit_s` seconds."""
        while True:
            try:
                message = self._lines.read(limit_s)
            except TimeoutError:
                return None
            except EOFError:
                self._busy = False
                self._log.seek(0)
                said = self._log.read()[-4096:].decode(errors="replace")
                return {"kind": "died", "reason": f"tracking: {explain_exit(self._process.wait(), said)[1]}"}
            if message["kind"] != "progress":
                self._busy = False
                return message
            if on_progress is not None:
                on_progress(message["done"], message["total"])
