"""The steps that make a store hold what it should: `plan` compares the entries with the runs that a store holds.

Nothing is asked of a store here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bench.tracking.entries import Entry

TERMINAL = ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True)
class HeldRun:
    """A run that the store holds for a sweep."""

    run_id: str
    uid: str
    digest: str
    status: str
    parent_id: str

    @classmethod
    def of(cls, run: Any) -> HeldRun:
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
    agreed: list[HeldRun] = field(default_factory=list)
    replaced: int = 0
    stale: list[str] = field(default_factory=list)
    duplicate: list[str] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Does the store agree?"""
        return not (self.create or self.complete or self.stale or self.duplicate or self.stray)


def plan(entries: Iterable[Entry], held: Iterable[HeldRun]) -> Plan:
    """Compares what should be with what is.

    Of several runs with the right content the one that is finished stays, then the one of the smallest id: every
    process that looks at the same store chooses alike.
    """
    runs: dict[str, list[HeldRun]] = defaultdict(list)
    for run in held:
        runs[run.uid].append(run)
    result = Plan()
    for entry in entries:
        candidates, digest = runs.pop(entry.uid, []), entry.digest
        right = [run for run in candidates if run.digest == digest]
        keep = min(right, key=lambda run: (run.status not in TERMINAL, run.run_id), default=None)
        if keep is None:
            result.create.append(entry)
            result.replaced += bool(candidates)
        elif keep.status == entry.status:
            result.agreed.append(keep)
        else:
            result.complete.append((entry, keep.run_id))
        result.duplicate += [run.run_id for run in right if run is not keep]
        result.stale += [run.run_id for run in candidates if run.digest != digest]
    result.stray = [run.run_id for group in runs.values() for run in group]
    return result


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

    def add(self, steps: Plan) -> None:
        """Counts the steps of one round."""
        self.created += len(steps.create)
        self.replaced += steps.replaced
        self.completed += len(steps.complete)
        self.duplicates_removed += len(steps.duplicate)
        self.strays_removed += len(steps.stray)

    def __str__(self) -> str:
        done = ("sent", "renewed", "completed", "unchanged", "duplicates removed", "without a record removed")
        missing = ("missing", "changed", "partial", "in agreement", "duplicate", "without a record")
        counts = (
            self.created - self.replaced, self.replaced, self.completed, self.unchanged, self.duplicates_removed,
            self.strays_removed,
        )  # fmt: skip
        named = zip(missing if self.dry_run else done, counts, strict=True)
        text = ", ".join(f"{count} {word}" for word, count in named if count) or "nothing to send"
        return f"{text} (dry run: nothing was written)" if self.dry_run else text
