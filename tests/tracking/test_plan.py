from types import SimpleNamespace

import pytest
from fakes.tracked_run import results_of

from bench.tracking.entries import make_entries
from bench.tracking.plan import HeldRun, SyncResult, plan


@pytest.fixture
def entry(run):
    return next(make_entries(results_of(run)))


def held(entry, run_id, status="FINISHED", digest=None):
    return HeldRun(run_id, entry.uid, entry.digest if digest is None else digest, status, "p")


@pytest.mark.parametrize(
    ("there", "create", "complete", "agreed", "deleted"),
    [
        ([], 1, [], [], []),
        ([("a", "FINISHED", None)], 0, [], ["a"], []),
        ([("a", "RUNNING", None)], 0, ["a"], [], []),
        ([("a", "KILLED", None)], 0, ["a"], [], []),
        ([("a", "RUNNING", None), ("b", "FINISHED", None)], 0, [], ["b"], ["a"]),
        ([("b", "FINISHED", None), ("a", "FINISHED", None)], 0, [], ["a"], ["b"]),
        ([("a", "FINISHED", "old")], 1, [], [], ["a"]),
        ([("a", "FINISHED", "old"), ("b", "RUNNING", None)], 0, ["b"], [], ["a"]),
    ],
)
def test_the_plan_mends_every_state(entry, there, create, complete, agreed, deleted):
    steps = plan([entry], [held(entry, run_id, status, digest) for run_id, status, digest in there])
    assert len(steps.create) == create
    assert [run_id for _, run_id in steps.complete] == complete
    assert [run.run_id for run in steps.agreed] == agreed
    assert steps.stale + steps.duplicate + steps.stray == deleted
    assert steps.done == (create == 0 and not complete and not deleted)


def test_a_run_without_a_record_is_a_stray(entry):
    assert plan([], [held(entry, "a")]).stray == ["a"]


def test_a_run_is_known_by_its_tags():
    tags = {"bench.trial_uid": "s:k", "bench.record_hash": "d", "mlflow.parentRunId": "p"}
    run = SimpleNamespace(info=SimpleNamespace(run_id="a", status="RUNNING"), data=SimpleNamespace(tags=tags))
    assert HeldRun.of(run) == HeldRun("a", "s:k", "d", "RUNNING", "p")
    run.data.tags = {}
    assert HeldRun.of(run) == HeldRun("a", "", "", "RUNNING", "")


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (SyncResult(), "nothing to send"),
        (SyncResult(created=3, replaced=1, unchanged=2), "2 sent, 1 renewed, 2 unchanged"),
        (SyncResult(completed=1, duplicates_removed=2, strays_removed=3),
         "1 completed, 2 duplicates removed, 3 without a record removed"),
        (SyncResult(created=4, dry_run=True), "4 missing (dry run: nothing was written)"),
        (SyncResult(created=1, replaced=1, unchanged=2, dry_run=True),
         "1 changed, 2 in agreement (dry run: nothing was written)"),
    ],
)  # fmt: skip
def test_what_was_done_is_said_in_words(result, says):
    assert str(result) == says
