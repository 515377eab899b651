"""Makes an MLflow store agree with a run's results: MLflow is a replica that can be rebuilt at any time.

After `replicate` the store holds one parent run for the sweep and exactly one child run for each record, with the
newest content. Interrupted anywhere and done again, or done twice, the end is the same.

How: every run in MLflow carries a uid (`bench.trial_uid`) and a digest of its content (`bench.record_hash`). One search
says what is there; `bench.tracking.plan.plan` compares it with the entries; what differs is mended, and searched again
until nothing differs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import TrackingError
from bench.machine.locks import lock_if_writable
from bench.tracking import parent
from bench.tracking.calls import RunGone, create, delete, search, send, set_tag
from bench.tracking.entries import Entry
from bench.tracking.links import Links, make_links
from bench.tracking.plan import HeldRun, Plan, SyncResult, plan
from bench.tracking.sqlite import analyze_sqlite
from bench.tracking.store import Store, open_store
from bench.tracking.uri import mask, sqlite_path
from bench.tracking.views import Sweep, write_views

Progress = Callable[[int, int], None]

ROUNDS = 4  # one to mend, one to see that it is mended; more only where another process writes the same sweep


@dataclass(frozen=True)
class Content:
    """What a store shall hold of one run.

    **Arguments:**

    - `sweep`: which sweep it is. `parent`, `trials`: the entry of its own run, and those of its trials.
    - `ranking`: a table, as `columns` and `data` (rows). `artifacts`: files or folders that the parent run shall hold.
    """

    sweep: Sweep
    parent: Entry
    trials: list[Entry]
    ranking: dict[str, Any]
    artifacts: Sequence[Path] = ()

    def __post_init__(self) -> None:
        """Raises `TrackingError` for a uid that cannot be searched for."""
        if any(sign in self.parent.uid for sign in "'`\"\\"):
            raise TrackingError(
                f"{self.sweep.folder}: the uid {self.parent.uid!r} has signs that MLflow's filters do not take"
            )


def replicate(store: Store, content: Content, on_progress: Progress | None = None) -> tuple[SyncResult, Links]:
    """Makes an open store hold a run: what was done, and where to look.

    **Arguments:**

    - `on_progress`: called with (trials in agreement, trials) after each.

    Raises `TrackingError`.
    """
    with lock_if_writable(content.sweep.folder / "sync.lock"):
        parent.close_dead(store)
        result = agree(store, content.parent, content.trials, on_progress)
        if result.created:
            analyze_sqlite(store.uri)
        write_views(store, content.sweep, result.parent_run_id)
        links = make_links(store, content.sweep, result.parent_run_id)
        described = parent.with_links(content.parent, links.markdown())
        files = [path for path in content.artifacts if path.exists()]
        parent.finish(store, result.parent_run_id, described, files, content.ranking)
        return result, links


def examine(uri: str, results: Path, content: Content, patience_s: float) -> SyncResult:
    """What `replicate` would do. Nothing is written, not even a missing store. Raises `TrackingError`."""
    database = sqlite_path(uri)
    if database and not database.exists():
        return SyncResult(created=len(content.trials), dry_run=True)
    with open_store(uri, results, create=False, patience_s=patience_s) as store:
        parents, children = _look(store, content.parent) if store.experiment_id else ([], [])
        result = SyncResult(dry_run=True, experiment_id=store.experiment_id)
        result.parent_run_id = min((run.run_id for run in parents), default="")
        steps = plan(content.trials, children)
        result.unchanged = len(steps.agreed)
        result.add(steps)
        return result


def agree(store: Store, sweep: Entry, entries: list[Entry], on_progress: Progress | None = None) -> SyncResult:
    """Mends what differs, round by round, until a search finds no difference. Raises `TrackingError`."""
    result = SyncResult(experiment_id=store.experiment_id)
    for number in range(ROUNDS):
        parents, children = _look(store, sweep)
        result.parent_run_id = parent_id = parent.only_one(store, sweep, parents)
        steps = plan(entries, children)
        result.add(steps)
        if number == 0:
            result.unchanged = len(steps.agreed)
        for run in steps.agreed:
            if run.parent_id != parent_id:
                set_tag(store, run.run_id, "mlflow.parentRunId", parent_id)
        if steps.done:
            return result
        _mend(store, steps, parent_id, len(entries), on_progress)
    raise TrackingError(f"{mask(store.uri)} changes while it is written; is the same run sent from elsewhere?")


def _look(store: Store, sweep: Entry) -> tuple[list[HeldRun], list[HeldRun]]:
    """The parent runs and the child runs that the store holds for a sweep."""
    runs = search(store, f"tags.`bench.sweep_uid` = '{sweep.uid}'")
    parents = [HeldRun.of(run) for run in runs if run.data.tags.get("bench.role") == "sweep"]
    return parents, [HeldRun.of(run) for run in runs if run.data.tags.get("bench.role") != "sweep"]


def _mend(store: Store, steps: Plan, parent_id: str, total: int, on_progress: Progress | None) -> None:
    """Takes the steps of one round."""
    work = steps.complete + [(entry, "") for entry in steps.create]
    for done, (entry, run_id) in enumerate(work, start=len(steps.agreed) + 1):
        with contextlib.suppress(RunGone):  # deleted by another sync of the same run; the next round sees to it
            if run_id:
                send(store, entry, run_id, {"mlflow.parentRunId": parent_id})
            else:
                send(store, entry, create(store, entry, parent_id))
        if on_progress is not None:
            on_progress(done, total)
    # Only now: a trial that is replaced is never missing in between.
    for run_id in steps.stale + steps.duplicate + steps.stray:
        delete(store, run_id)
