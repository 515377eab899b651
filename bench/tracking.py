"""Records into MLflow, and back into agreement: MLflow is a replica that can be rebuilt at any time.

A `Run` folder and a tracking URI go in; the store then holds one parent run for the sweep and exactly one child run
for each record, with the newest content. Interrupted anywhere and run again, or run twice, the end is the same.
Records are only read.

How: every run carries a uid (`bench.trial_uid`) and a digest of its content (`bench.record_hash`). One search says
what is there; `plan` compares it with the entries; what differs is mended, and searched again until nothing differs.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.entry import Entry, sweep_entry, trial_entries
from bench.record import Run
from bench.server import Server, serve
from bench.store import (
    PROBE_S,
    Store,
    TrackingError,
    analyze_sqlite,
    locked,
    mask,
    open_store,
    resolve_uri,
    sqlite_path,
)
from bench.views import Links, links, write_views

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Links", "Server", "SyncResult", "TrackingError", "links", "mask", "resolve_uri", "serve", "sync"]

Progress = Callable[[int, int], None]


class RunGone(TrackingError):
    """A run that was deleted while it was written."""


PAGE = 500
ROUNDS = 4  # one to mend, one to see that it is mended; more only where another process writes the same sweep
TERMINAL = ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True)
class Found:
    """A run that the store holds for a sweep."""

    run_id: str
    uid: str
    digest: str
    status: str
    parent_id: str

    @classmethod
    def of(cls, run: Any) -> Found:
        """From MLflow's entity."""
        tags = run.data.tags
        uid = tags.get("bench.trial_uid", "")
        digest, parent = tags.get("bench.record_hash", ""), tags.get("mlflow.parentRunId", "")
        return cls(run.info.run_id, uid, digest, run.info.status, parent)


@dataclass
class Plan:
    """What has to be done so that the store agrees with the records.

    **Arguments:**

    - `create`: entries without a run of their content.
    - `complete`: entries whose run was begun and not ended, with its id.
    - `agreed`: runs that are as they should be. `replaced`: how many of `create` have a run of older content.
    - `stale`, `duplicate`, `stray`: ids of runs to delete: of older content, second ones, and of no record.
    """

    create: list[Entry] = field(default_factory=list)
    complete: list[tuple[Entry, str]] = field(default_factory=list)
    agreed: list[Found] = field(default_factory=list)
    replaced: int = 0
    stale: list[str] = field(default_factory=list)
    duplicate: list[str] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Does the store agree?"""
        return not (self.create or self.complete or self.stale or self.duplicate or self.stray)


@dataclass
class SyncResult:
    """What a sync did (`dry_run`: would do), in trials.

    **Arguments:**

    - `created`: sent anew; `replaced` of them took the place of older content.
    - `completed`: were begun by an interrupted sync, and finished.
    - `unchanged`: were there already.
    - `duplicates_removed`, `strays_removed`: second runs of one trial; runs of trials that have no record.
    - `parent_run_id`, `experiment_id`: MLflow's ids; "" if there is none yet.
    """

    created: int = 0
    replaced: int = 0
    completed: int = 0
    unchanged: int = 0
    duplicates_removed: int = 0
    strays_removed: int = 0
    parent_run_id: str = ""
    experiment_id: str = ""
    dry_run: bool = False

    def __str__(self) -> str:
        words = {
            "sent": self.created - self.replaced,
            "renewed": self.replaced,
            "completed": self.completed,
            "unchanged": self.unchanged,
            "duplicates removed": self.duplicates_removed,
            "without a record removed": self.strays_removed,
        }
        counts = ", ".join(f"{count} {word}" for word, count in words.items() if count) or "nothing to send"
        return f"{counts} (dry run: nothing was written)" if self.dry_run else counts


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
    """Makes a store hold what a run's records say.

    **Arguments:**

    - `run`: the run's folder. `uri`: of the store, as `resolve_uri` returns it.
    - `table`: one row a trial, as `bench.table.build_table` makes it; made here if it is not given.
    - `artifacts`: files (or folders) that the parent run shall hold.
    - `on_progress`: called with (trials in agreement, trials) after each.
    - `dry_run`: only count.
    - `patience_s`: seconds in all for which failing calls are tried again.

    Raises `TrackingError` of one line that says what to run later, and `RecordError` for damaged records.
    """
    records = run.records()
    if table is None:
        from bench.table import build_table

        table = build_table([run])
    sweep, entries = sweep_entry(run, records, table), trial_entries(run, records, table)
    if any(sign in sweep.uid for sign in "'`\"\\"):
        raise TrackingError(f"{run.path}: the uid {sweep.uid!r} has signs that MLflow's filters do not take")
    database = sqlite_path(uri)
    if dry_run and database and not database.exists():
        return SyncResult(created=len(entries), dry_run=True)
    try:
        with (
            locked(run.path / "sync.lock"),
            open_store(uri, run.path.resolve().parents[1], create=not dry_run, patience_s=patience_s) as store,
        ):
            if dry_run:
                return _count(store, sweep, entries)
            _close_dead_sweeps(store)
            result = _agree(store, sweep, entries, on_progress)
            _finish_sweep(store, result.parent_run_id, sweep, [path for path in artifacts if path.exists()])
            write_views(store, run, result.parent_run_id)
            if result.created:
                analyze_sqlite(uri)
            return result
    except TrackingError as error:
        raise TrackingError(
            f"{error}; the records are safe, send them later with: lenet-bench sync {run.path}"
        ) from error


def plan(entries: Iterable[Entry], found: Iterable[Found]) -> Plan:
    """Compares what should be with what is.

    Of several runs with the right content the one that is finished stays, then the one of the smallest id: every
    process that looks at the same store chooses alike.
    """
    runs: dict[str, list[Found]] = defaultdict(list)
    for one in found:
        runs[one.uid].append(one)
    result = Plan()
    for entry in entries:
        candidates = runs.pop(entry.uid, [])
        right = [one for one in candidates if one.digest == entry.digest]
        keep = min(right, key=lambda one: (one.status not in TERMINAL, one.run_id), default=None)
        if keep is None:
            result.create.append(entry)
            result.replaced += bool(candidates)
        elif keep.status == entry.status:
            result.agreed.append(keep)
        else:
            result.complete.append((entry, keep.run_id))
        result.duplicate += [one.run_id for one in right if one is not keep]
        result.stale += [one.run_id for one in candidates if one.digest != entry.digest]
    result.stray = [one.run_id for group in runs.values() for one in group]
    return result


def _search(store: Store, condition: str) -> list[Any]:
    """Every active run of the suite's experiment that meets a condition, page by page."""
    runs: list[Any] = []
    token: str | None = None
    while True:
        page = store.call(
            store.client.search_runs,
            [store.experiment_id],
            filter_string=condition,
            max_results=PAGE,
            page_token=token,
        )
        runs += page
        token = page.token
        if not token:
            return runs


def _look(store: Store, sweep: Entry) -> tuple[list[Found], list[Found]]:
    """The parent runs and the child runs that the store holds for a sweep."""
    runs = _search(store, f"tags.`bench.sweep_uid` = '{sweep.uid}'")
    parents = [Found.of(run) for run in runs if run.data.tags.get("bench.role") == "sweep"]
    return parents, [Found.of(run) for run in runs if run.data.tags.get("bench.role") != "sweep"]


def _count(store: Store, sweep: Entry, entries: list[Entry]) -> SyncResult:
    """What a sync would do."""
    parents, children = _look(store, sweep) if store.experiment_id else ([], [])
    result = SyncResult(dry_run=True, experiment_id=store.experiment_id)
    result.parent_run_id = min((one.run_id for one in parents), default="")
    steps = plan(entries, children)
    result.unchanged = len(steps.agreed)
    _add(result, steps)
    return result


def _add(result: SyncResult, steps: Plan) -> None:
    """Counts the steps of one round."""
    result.created += len(steps.create)
    result.replaced += steps.replaced
    result.completed += len(steps.complete)
    result.duplicates_removed += len(steps.duplicate)
    result.strays_removed += len(steps.stray)


def _agree(store: Store, sweep: Entry, entries: list[Entry], on_progress: Progress | None) -> SyncResult:
    """Mends what differs, round by round, until a search finds no difference."""
    result = SyncResult(experiment_id=store.experiment_id)
    for number in range(ROUNDS):
        parents, children = _look(store, sweep)
        result.parent_run_id = parent_id = _one_parent(store, sweep, parents)
        steps = plan(entries, children)
        _add(result, steps)
        if number == 0:
            result.unchanged = len(steps.agreed)
        for one in steps.agreed:
            if one.parent_id != parent_id:
                _set_tag(store, one.run_id, "mlflow.parentRunId", parent_id)
        if steps.done:
            return result
        work = steps.complete + [(entry, "") for entry in steps.create]
        for done, (entry, run_id) in enumerate(work, start=len(steps.agreed) + 1):
            with contextlib.suppress(RunGone):  # deleted by another sync of the same run; the next round sees to it
                _send(store, entry, run_id or _create(store, entry, parent_id), parent_id)
            if on_progress is not None:
                on_progress(done, len(entries))
        # Only now: a trial that is replaced is never missing in between.
        for run_id in steps.stale + steps.duplicate + steps.stray:
            _delete(store, run_id)
    raise TrackingError(f"{mask(store.uri)} changes while it is written; is the same run sent from elsewhere?")


def _one_parent(store: Store, sweep: Entry, parents: list[Found]) -> str:
    """The id of the sweep's own run: the one that is there, or a new one. Second ones are deleted."""
    if not parents:
        return _create(store, sweep, "")
    first, *others = sorted(one.run_id for one in parents)
    for run_id in others:
        _delete(store, run_id)
    return first


def _create(store: Store, entry: Entry, parent_id: str) -> str:
    """Makes the run, RUNNING. Where the answer was lost on the way, the run that was made is found and taken."""
    tags = {**entry.tags, "bench.trial_uid": entry.uid, "mlflow.user": _user()}
    condition = f"tags.`bench.trial_uid` = '{entry.uid}'"
    if parent_id:
        tags |= {"mlflow.parentRunId": parent_id, "bench.record_hash": entry.digest}
        condition += f" AND tags.`bench.record_hash` = '{entry.digest}'"
    else:
        tags |= {"bench.writer": f"{socket.gethostname()}:{os.getpid()}"}
    tried = False

    def action() -> str:
        nonlocal tried
        if tried and (made := store.client.search_runs([store.experiment_id], filter_string=condition, max_results=1)):
            return str(made[0].info.run_id)
        tried = True
        run = store.client.create_run(store.experiment_id, start_time=entry.start_ms, tags=tags, run_name=entry.name)
        return str(run.info.run_id)

    return store.call(action)


def _send(store: Store, entry: Entry, run_id: str, parent_id: str) -> None:
    """Parameters, metrics and the end of a run. Sending the same again changes nothing."""
    from mlflow.entities import Metric, Param, RunTag

    metrics = [Metric(name, value, entry.end_ms, step) for name, value, step in entry.metrics]
    params = [Param(name, value) for name, value in entry.params.items()]
    tags = [RunTag("mlflow.parentRunId", parent_id)] if parent_id else [RunTag(*tag) for tag in entry.tags.items()]

    def action() -> None:
        try:
            store.client.log_batch(run_id, metrics=metrics, params=params, tags=tags)
            store.client.set_terminated(run_id, status=entry.status, end_time=entry.end_ms)
        except Exception as error:
            if _is_gone(error):
                raise RunGone(f"run {run_id} was deleted while it was written") from error
            raise

    store.call(action)


def _finish_sweep(store: Store, run_id: str, sweep: Entry, artifacts: list[Path]) -> None:
    """The parent's files, numbers and end, unless it has them all. The tag of its state goes last: the rest is there
    then.
    """
    files = sorted(
        file for path in artifacts for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()
    )
    state = hashlib.sha256(sweep.digest.encode())
    for file in files:
        state.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    run = store.call(store.client.get_run, run_id)
    if run.data.tags.get("bench.record_hash") == state.hexdigest()[:16] and run.info.status == sweep.status:
        return
    for path in artifacts:
        if path.is_dir():
            store.call(store.client.log_artifacts, run_id, str(path), path.name)
        else:
            store.call(store.client.log_artifact, run_id, str(path))
    _send(store, sweep, run_id, "")
    _set_tag(store, run_id, "bench.record_hash", state.hexdigest()[:16])


def _close_dead_sweeps(store: Store) -> None:
    """Sweeps whose sync died on this machine and was never run again end as KILLED, not as RUNNING for ever."""
    for run in _search(store, "tags.`bench.role` = 'sweep' AND attributes.status = 'RUNNING'"):
        host, _, process = run.data.tags.get("bench.writer", "").rpartition(":")
        if host == socket.gethostname() and process.isdigit() and not _is_alive(int(process)):
            now_ms = round(time.time() * 1000)
            store.call(store.client.set_terminated, run.info.run_id, status="KILLED", end_time=now_ms)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _set_tag(store: Store, run_id: str, name: str, value: str) -> None:
    store.call(store.client.set_tag, run_id, name, value)


def _is_gone(error: Exception) -> bool:
    """Does a call fail because another process has deleted the run?"""
    return (
        "must be in the 'active' state" in str(error) or getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST"
    )


def _delete(store: Store, run_id: str) -> None:
    """Deletes a run; one that is gone already is as good."""

    def action() -> None:
        try:
            store.client.delete_run(run_id)
        except Exception as error:
            if not _is_gone(error):
                raise

    store.call(action)
