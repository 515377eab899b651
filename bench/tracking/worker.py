"""The child process that talks to MLflow: JSON requests on standard input, JSON lines on standard output.

`open` makes the sweep's run before the first trial; `sync` brings the store into agreement and logs the best trial as a
model. Between requests it sleeps, so that nothing of it runs while a trial is timed. When its input ends, a sweep that
was begun and not finished is KILLED in MLflow: then the process that asked for it has died.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.errors import RecordError, TrackingError
from bench.records.run import Run
from bench.tracking import parent as sweep_run
from bench.tracking.entries import sweep_entry
from bench.tracking.links import make_links
from bench.tracking.store import Store, open_store
from bench.tracking.sync import later, replicate, sync

PROGRESS_EVERY_S = 0.2


class Session:
    """One store, opened at the first request that reaches it and kept.

    **Arguments:**

    - `uri`, `results`, `patience_s`: as `bench.tracking.store.open_store` takes them.
    """

    def __init__(self, uri: str, results: Path, patience_s: float) -> None:
        self._uri, self._results, self._patience_s = uri, results, patience_s
        self._stack = contextlib.ExitStack()
        self._store: Store | None = None
        self._begun: list[str] = []

    def store(self) -> Store:
        """The open store. Raises `TrackingError`."""
        if self._store is None:
            opened = open_store(self._uri, self._results, patience_s=self._patience_s)
            self._store = self._stack.enter_context(opened)
        return self._store

    def open(self, run: Run, process: int) -> None:
        """Makes the sweep's run, and imports what the end will need."""
        store = self.store()
        from bench.analysis.table import build_table

        empty = build_table([run])
        self._begun.append(sweep_run.begin(store, sweep_entry(run, [], empty.iloc[:0]), process))

    def sync(self, request: dict[str, Any]) -> dict[str, Any]:
        """Brings the store into agreement with a run; what was done, and where to look."""
        from bench.analysis.table import build_table

        run = Run.open(Path(request["run"]))
        table = build_table([run])
        if request["dry_run"]:
            would = sync(run, self._uri, table=table, dry_run=True, patience_s=self._patience_s)
            return {"kind": "done", "text": str(would), "links": []}
        store, artifacts = self.store(), [Path(path) for path in request["artifacts"]]
        result = replicate(store, run, table=table, artifacts=artifacts, on_progress=tell_progress())
        self._begun = [run_id for run_id in self._begun if run_id != result.parent_run_id]
        lines = make_links(store, run, result.parent_run_id, request["port"]).lines()
        model = ""
        if request["model"]:
            from bench.tracking.champion import log_best

            model = log_best(store, run, table)
        return {"kind": "done", "text": str(result), "links": lines, "model": model}

    def close(self) -> None:
        """Ends what was begun and not finished, and leaves the store."""
        with contextlib.suppress(TrackingError), self._stack:
            if self._store is not None:
                for run_id in self._begun:
                    sweep_run.close(self._store, run_id)


def tell(message: dict[str, Any]) -> None:
    """Writes one line."""
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(message), file=sys.__stdout__, flush=True)


def tell_progress() -> Any:
    """A function that tells how far a sync is, a few times a second."""
    told_s = 0.0

    def on_progress(done: int, total: int) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= PROGRESS_EVERY_S or done == total:
            told_s = time.monotonic()
            tell({"kind": "progress", "done": done, "total": total})

    return on_progress


def answer(session: Session, request: dict[str, Any]) -> dict[str, Any]:
    """Does what is asked; failures that are for people come back as a line."""
    run = Run.open(Path(request["run"]))
    try:
        if request["do"] == "open":
            session.open(run, request["process"])
            return {"kind": "done"}
        return session.sync(request)
    except TrackingError as error:
        return {"kind": "failed", "reason": str(later(error, run))}
    except RecordError as error:
        return {"kind": "failed", "reason": str(error)}


def requests() -> Iterator[dict[str, Any]]:
    """What is asked for, until nobody asks any more."""
    for line in sys.stdin:
        yield json.loads(line)


def main() -> int:
    """Answers requests. The first line says which store."""
    settings = json.loads(sys.stdin.readline())
    # Whatever libraries print must not get between the lines.
    sys.stdout = sys.stderr
    session = Session(settings["uri"], Path(settings["results"]), settings["patience_s"])
    try:
        for request in requests():
            tell(answer(session, request))
    finally:
        session.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
