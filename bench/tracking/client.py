"""The tracking worker as its parent sees it: started at once, asked for things, and never waited for longer than said.

`Tracker` sends it what MLflow shall hold, made here of a run's results, and gives back what was done in lines for
people. There is no MLflow in this process: its import takes 3 s, and its threads and memory have no business in the
process that drives a sweep.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import TrackingError
from bench.machine.environment import child_environment, python_command
from bench.machine.exits import explain_exit
from bench.machine.lines import LineReader
from bench.machine.processes import kill_group
from bench.records.run import Run
from bench.tracking.champion import choose
from bench.tracking.description import describe
from bench.tracking.entries import make_entries, ranking_table, sweep_entry
from bench.tracking.failures import PROBE_S
from bench.tracking.links import Links
from bench.tracking.sync import Progress
from bench.tracking.views import Sweep

if TYPE_CHECKING:
    from bench.analysis.results import Results

WORKER = python_command("bench.tracking.worker")
START_LIMIT_S = 15.0  # import and first database; a sweep waits no longer before it times
CLOSE_LIMIT_S = 5.0
SILENCE_LIMIT_S = 300.0  # a worker that neither says nor takes anything for so long is ended


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
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed in _end
        self._process = subprocess.Popen(
            WORKER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=child_environment(),
            start_new_session=True,
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        os.set_blocking(self._requests.fileno(), False)
        self._writable = select.poll()
        self._writable.register(self._requests, select.POLLOUT)
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
        entry = sweep_entry(run, (), describe(run, (), (), ()))
        self._write({"do": "open", "parent": vars(entry), "process": os.getpid()})
        self._busy = True

    def settle(self, limit_s: float = START_LIMIT_S) -> None:
        """Waits until the worker has nothing to do. One that takes longer is ended; `sync` starts another."""
        if self._busy and self._receive(limit_s) is None:
            self._end()  # and no other one before `sync`: its start would fall into the timing

    def sync(
        self,
        results: Results,
        *,
        artifacts: Sequence[Path] = (),
        dry_run: bool = False,
        model: bool = True,
        on_progress: Progress | None = None,
    ) -> Synced:
        """Brings the store into agreement with a run and logs its best trial as a model.

        **Arguments:**

        - `artifacts`: files that the sweep's run in MLflow shall hold. `dry_run`: only count what differs.
        - `on_progress`: called with (trials in agreement, trials), a few times a second.

        Raises `TrackingError` of one line that says what to run later, and `RecordError` for damaged records.
        """
        self.settle(SILENCE_LIMIT_S)
        if not self._running:
            self._start()
        try:
            for message in sync_request(results, artifacts=artifacts, dry_run=dry_run, model=model):
                if not self._write(message):
                    break
        except TimeoutError:
            answer = None
        except BaseException:
            self._end()  # it has half a request
            raise
        else:
            self._busy = True
            answer = self._receive(SILENCE_LIMIT_S, on_progress)
        if answer is None:
            self._end()
            answer = {"reason": f"the tracking worker was silent for {SILENCE_LIMIT_S:g} s and was ended"}
        if "reason" in answer:
            path = results.run.path
            raise TrackingError(
                f"{answer['reason']}; the records are safe, send them later with: lenet-bench sync {path}"
            )
        links = Links(**answer["links"]).lines(self.uri) if answer["links"] else []
        return Synced(answer["text"], links, answer["model"])

    def _write(self, message: dict[str, Any]) -> bool:
        """Writes one line. False if the worker has died, which `_receive` explains.

        Raises `TimeoutError` if the worker takes none of it for as long as it may be silent.
        """
        rest = json.dumps(message).encode() + b"\n"
        while rest:
            if not self._writable.poll(SILENCE_LIMIT_S * 1e3):
                raise TimeoutError
            try:
                rest = rest[os.write(self._requests.fileno(), rest) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                return False
        return True

    def _receive(self, limit_s: float, on_progress: Progress | None = None) -> dict[str, Any] | None:
        """The answer to the request that is under way; None if nothing is heard for `limit_s` seconds."""
        while True:
            try:
                message = self._lines.read(limit_s)
            except TimeoutError:
                return None
            except EOFError:
                self._log.seek(0)
                said = self._log.read()[-4096:].decode(errors="replace")
                reason = explain_exit(self._process.wait(), said)[1]
                self._end()
                return {"kind": "died", "reason": f"tracking: {reason}"}
            if message["kind"] != "progress":
                self._busy = False
                return message
            if on_progress is not None:
                on_progress(message["done"], message["total"])


def sync_request(
    results: Results, *, artifacts: Sequence[Path] = (), dry_run: bool = False, model: bool = True
) -> Iterator[dict[str, Any]]:
    """The messages that ask for a sync: what is small, then each entry, made one at a time, and a last one.

    `bench.tracking.worker.read_content` takes them.
    """
    best = choose(results) if model and not dry_run else ""
    yield {
        "do": "sync",
        "dry_run": dry_run,
        "sweep": Sweep.of(results.run).to_dict(),
        "ranking": ranking_table(results),
        "artifacts": [str(path.resolve()) for path in artifacts],
        "best": best if isinstance(best, str) else best.to_dict(),
    }
    for entry in make_entries(results):
        yield {"entry": vars(entry)}
    yield {"end": True}
