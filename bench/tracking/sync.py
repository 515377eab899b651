"""Records into MLflow, and back into agreement: MLflow is a replica that can be rebuilt at any time.

A `Run` folder and a tracking URI go in; the store then holds one parent run for the sweep and exactly one child run
for each record, with the newest content. Interrupted anywhere and run again, or run twice, the end is the same.
Records are only read.

How: every run carries a uid (`bench.trial_uid`) and a digest of its content (`bench.record_hash`). One search says
what is there; `bench.tracking.plan.plan` compares it with the entries; what differs is mended, and searched again until
nothing differs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import RecordError, TrackingError
from bench.machine.locks import lock_if_writable
from bench.records.run import Run, all_runs
from bench.tracking import parent as sweep_run
from bench.tracking.calls import RunGone, create, delete, search, send, set_tag
from bench.tracking.entries import Entry, make_entries, ranking_table
from bench.tracking.failures import PROBE_S
from bench.tracking.links import links, make_links
from bench.tracking.plan import Found, Plan, SyncResult, plan
from bench.tracking.sqlite import analyze_sqlite
from bench.tracking.store import Store, open_store
from bench.tracking.uri import mask, sqlite_path
from bench.tracking.views import write_views

if TYPE_CHECKING:
    import pandas as pd


Progress = Callable[[int, int], None]

ROUNDS = 4  # one to mend, one to see that it is mended; more only where another process writes the same sweep


def sync(
    run: Run,
    uri: str,
    *,
    table: pd.DataFrame | None = None,
    artifacts: Sequence[Path] = (),
    on_progress: Progress | None = None,
    dry_run: bool = False,
    patience_s: float = PROBE_S,
) -> SyncResult:
    """Makes a store hold what a run's records say: opens it, and replicates into it.

    **Arguments:**

    - `run`: the run's folder. `uri`: of the store, as `resolve_uri` returns it.
    - `table`, `artifacts`, `on_progress`: as in `replicate`.
    - `dry_run`: only count.
    - `patience_s`: seconds in all for which failing calls are tried again.

    Raises `TrackingError` of one line that says what to run later, and `RecordError` for damaged records.
    """
    try:
        database = sqlite_path(uri)
        if dry_run and database and not database.exists():
            return SyncResult(created=sum(1 for _ in run.each()), dry_run=True)
        with open_store(uri, run.path.resolve().parents[1], create=not dry_run, patience_s=patience_s) as store:
            if dry_run:
                return examine(store, run, table=table)
            return replicate(store, run, table=table, artifacts=artifacts, on_progress=on_progress)
    except TrackingError as error:
        raise later(error, run) from error


def later(error: TrackingError, run: Run) -> TrackingError:
    """The error, and what to do about it when the store is back."""
    text = str(error)
    advice = f"; the records are safe, send them later with: lenet-bench sync {run.path}"
    return error if text.endswith(advice) else TrackingError(text + advice)


def replicate(
    store: Store,
    run: Run,
    *,
    table: pd.DataFrame | None = None,
    artifacts: Sequence[Path] = (),
    on_progress: Progress | None = None,
) -> SyncResult:
    """Makes an open store hold what a run's records say.

    **Arguments:**

    - `table`: one row a trial, as `bench.analysis.table.build_table` makes it; made here if it is not given.
    - `artifacts`: files (or folders) that the parent run shall hold.
    - `on_progress`: called with (trials in agreement, trials) after each.
    """
    with lock_if_writable(run.path / "sync.lock"):
        sweep, entries, rows = _entries(run, table)
        sweep_run.close_dead(store)
        result = agree(store, sweep, entries, on_progress)
        if result.created:
            analyze_sqlite(store.uri)
        write_views(store, run, result.parent_run_id)
        found = make_links(store, run, result.parent_run_id, port=5000)
        answer, _, rest = sweep.tags["mlflow.note.content"].partition("\n\n")
        whole = sweep_run.described(sweep, f"{answer}\n\n{found.markdown()}\n\n{rest}")
        there = [path for path in artifacts if path.exists()]
        sweep_run.finish(store, result.parent_run_id, whole, there, ranking_table(run, rows))
        return result


def examine(store: Store, run: Run, *, table: pd.DataFrame | None = None) -> SyncResult:
    """What `replicate` would do."""
    sweep, entries, _ = _entries(run, table)
    parents, children = _look(store, sweep) if store.experiment_id else ([], [])
    result = SyncResult(dry_run=True, experiment_id=store.experiment_id)
    result.parent_run_id = min((one.run_id for one in parents), default="")
    steps = plan(entries, children)
    result.unchanged = len(steps.agreed)
    result.add(steps)
    return result


def newest_links(results: Path, uri: str) -> list[str]:
    """The links of the newest run that a server holds, and how to get the others'; empty if it holds none."""
    for path in reversed(all_runs(results)):
        try:
            run = Run.open(path)
            return [
                f"newest run: {path}",
                *links(run, uri).lines(),
                "of others: lenet-bench links RUN --tracking-uri " + uri,
            ]
        except (RecordError, TrackingError):
            continue
    return []


def _entries(run: Run, table: pd.DataFrame | None) -> tuple[Entry, list[Entry], pd.DataFrame]:
    if table is None:
        from bench.analysis.table import build_table

        table = build_table([run])
    sweep, entries = make_entries(run, table)
    if any(sign in sweep.uid for sign in "'`\"\\"):
        raise TrackingError(f"{run.path}: the uid {sweep.uid!r} has signs that MLflow's filters do not take")
    return sweep, entries, table


def _look(store: Store, sweep: Entry) -> tuple[list[Found], list[Found]]:
    """The parent runs and the child runs that the store holds for a sweep."""
    runs = search(store, f"tags.`bench.sweep_uid` = '{sweep.uid}'")
    parents = [Found.of(run) for run in runs if run.data.tags.get("bench.role") == "sweep"]
    return parents, [Found.of(run) for run in runs if run.data.tags.get("bench.role") != "sweep"]


def agree(store: Store, sweep: Entry, entries: list[Entry], on_progress: Progress | None = None) -> SyncResult:
    """Mends what differs, round by round, until a search finds no difference."""
    result = SyncResult(experiment_id=store.experiment_id)
    for number in range(ROUNDS):
        parents, children = _look(store, sweep)
        result.parent_run_id = parent_id = sweep_run.only_one(store, sweep, parents)
        steps = plan(entries, children)
        result.add(steps)
        if number == 0:
            result.unchanged = len(steps.agreed)
        for one in steps.agreed:
            if one.parent_id != parent_id:
                set_tag(store, one.run_id, "mlflow.parentRunId", parent_id)
        if steps.done:
            return result
        _mend(store, steps, parent_id, len(entries), on_progress)
    raise TrackingError(f"{mask(store.uri)} changes while it is written; is the same run sent from elsewhere?")


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
