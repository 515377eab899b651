"""The process that talks to MLflow: `python -m bench.tracking.worker` takes JSON lines and answers in JSON lines.

It is given plain values and reads no records. `open` makes the sweep's run before the first trial; `sync` brings the
store into agreement and logs the best trial as a model. Between requests it sleeps, so that nothing of it runs while a
trial is timed. When its input ends, a sweep that was begun and not finished is KILLED in MLflow: then the process that
asked for it has died.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.errors import TrackingError
from bench.tracking import parent
from bench.tracking.entries import Entry
from bench.tracking.store import Store, open_store
from bench.tracking.sync import Content, Progress, examine, replicate
from bench.tracking.views import Sweep

PROGRESS_EVERY_S = 0.2

Message = dict[str, Any]
Tell = Callable[[Message], None]


class Session:
    """One store, opened at the first request that needs it and kept.

    **Arguments:**

    - `uri`, `results`, `patience_s`: as `bench.tracking.store.open_store` takes them.
    """

    def __init__(self, uri: str, results: Path, patience_s: float) -> None:
        self._uri, self._results, self._patience_s = uri, results, patience_s
        self._stack = contextlib.ExitStack()
        self._store: Store | None = None
        self._begun: list[str] = []

    def answer(self, request: Message, lines: Iterator[Message], tell: Tell) -> None:
        """Does what is asked and tells the end of it; a store that fails comes back as one line.

        **Arguments:**

        - `lines`: what follows the request. `tell`: takes the answer, and before it how far it is.
        """
        try:
            tell(self._open(request) if request["do"] == "open" else self._sync(request, lines, tell))
        except TrackingError as error:
            tell({"kind": "failed", "reason": str(error)})

    def store(self) -> Store:
        """The open store. Raises `TrackingError`."""
        if self._store is None:
            opened = open_store(self._uri, self._results, patience_s=self._patience_s)
            self._store = self._stack.enter_context(opened)
        return self._store

    def _open(self, request: Message) -> Message:
        self._begun.append(parent.begin(self.store(), Entry(**request["parent"]), request["process"]))
        return {"kind": "done"}

    def _sync(self, request: Message, lines: Iterator[Message], tell: Tell) -> Message:
        content = read_content(request, lines)
        if request["dry_run"]:
            would = examine(self._uri, self._results, content, self._patience_s)
            return {"kind": "done", "text": str(would), "links": None, "model": ""}
        result, links = replicate(self.store(), content, progress_to(tell))
        self._begun = [run_id for run_id in self._begun if run_id != result.parent_run_id]
        model = request["best"]
        if isinstance(model, dict):
            from bench.tracking.champion import Best, log_best

            model = log_best(self.store(), content.sweep, Best(**model))
        return {"kind": "done", "text": str(result), "links": vars(links), "model": model}

    def close(self) -> None:
        """Ends what was begun and not finished, and leaves the store."""
        with contextlib.suppress(TrackingError), self._stack:
            if self._store is not None:
                for run_id in self._begun:
                    parent.close(self._store, run_id)


def read_content(request: Message, lines: Iterator[Message]) -> Content:
    """What `bench.tracking.client.sync_request` wrote: the request, and after it a line an entry, the sweep's last.

    Raises `EOFError` if the lines end before that.
    """
    entries: list[Entry] = []
    for line in lines:
        if "entry" in line:
            entries.append(Entry(**line["entry"]))
            continue
        *trials, sweep = entries
        artifacts = [Path(path) for path in request["artifacts"]]
        return Content(Sweep.from_dict(request["sweep"]), sweep, trials, request["ranking"], artifacts)
    raise EOFError("the request was not written to its end")


def progress_to(tell: Tell) -> Progress:
    """A function that tells how far a sync is, a few times a second."""
    told_s = 0.0

    def on_progress(done: int, total: int) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= PROGRESS_EVERY_S or done == total:
            told_s = time.monotonic()
            tell({"kind": "progress", "done": done, "total": total})

    return on_progress


def print_line(message: Message) -> None:
    """Writes one line."""
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(message), file=sys.__stdout__, flush=True)


def main() -> int:
    """Answers requests until nobody asks any more. The first line says which store."""
    lines = map(json.loads, sys.stdin)
    settings = next(lines)
    # Whatever libraries print must not get between the lines.
    sys.stdout = sys.stderr
    session = Session(settings["uri"], Path(settings["results"]), settings["patience_s"])
    try:
        for request in lines:
            session.answer(request, lines, print_line)
    except EOFError:
        return 0
    finally:
        session.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
