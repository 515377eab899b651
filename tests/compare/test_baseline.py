"""Baselines: a small file that a diff shows well, and that is enough for a verdict later."""

import math

import pytest
from fakes import timed_runs
from fakes.timed_runs import SECONDS, SLOWER, verdicts

from bench.compare.baseline import NoBaselineError, find_baseline, read_baseline, save_baseline
from bench.compare.judge import NO_VERDICT, REGRESSION, compare
from bench.compare.read import read_side
from bench.compare.side import from_run
from bench.errors import SideError


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


def save(results, name, seconds=SECONDS, **changes):
    run = timed_runs.make_run(results / "gate" / name, seconds, **changes)
    return save_baseline(from_run(run), "gate", results, "2026-01-02")


def test_a_saved_baseline_gives_the_verdicts_of_the_run_itself(results):
    saved = save(results, "a", seed=1)
    assert (saved.new, saved.changed, saved.gone) == (9, 0, 0)
    head = from_run(timed_runs.make_run(results / "gate" / "b", SLOWER, seed=2))
    direct = compare(from_run(timed_runs.make_run(results / "gate" / "c", SECONDS, seed=1)), head)
    stored = compare(read_side(str(saved.path), results), head)
    assert verdicts(stored) == verdicts(direct)
    assert stored.exit_code == REGRESSION
    exact = {one.name: one for one in direct.verdicts}
    for one in stored.verdicts:
        twin = exact[one.name]
        assert one.ratio == pytest.approx(twin.ratio, rel=1e-3)
        assert math.log(one.high / one.low) == pytest.approx(math.log(twin.high / twin.low), rel=0.05)


def test_the_file_is_sorted_short_and_a_change_is_one_line(results):
    before = save(results, "a", seed=1).path.read_text().splitlines()
    rows = [line for line in before if not line.startswith("#")]
    assert rows == sorted(rows)
    assert all(len(line) < 60 for line in rows)
    saved = save(results, "b", {**SECONDS, "gelu": 3e-3}, seed=1)
    after = saved.path.read_text().splitlines()
    moved = [new for old, new in zip(before, after, strict=True) if old != new and not new.startswith("#")]
    assert saved.changed == len(moved) == 3
    assert all(line.startswith("gelu/") for line in moved)
    saved = save(results, "c", {"relu": 1e-3, "elu": 1e-3}, seed=1)
    assert (saved.new, saved.gone) == (3, 6)


def test_a_failed_trial_is_left_out_and_named(results):
    saved = save(results, "a", failed=["tanh"])
    assert len(saved.left_out) == 1
    assert saved.left_out[0].startswith("tanh (failed: signal 11")
    with pytest.raises(SideError, match="nothing in it was timed"):
        save(results, "b", failed=list(SECONDS))


def test_other_threads_trials_and_machines_are_refused(results):
    path = save(results, "a").path
    threads = from_run(timed_runs.make_run(results / "gate" / "b", SECONDS, base={"threads": 2}))
    comparison = compare(read_baseline(path), threads)
    assert comparison.exit_code == NO_VERDICT
    assert "threads 1 and 2" in comparison.verdicts[0].note
    other = from_run(timed_runs.make_run(results / "gate" / "c", SECONDS, base={"epochs": 7}))
    for one in other.benchmarks:
        object.__setattr__(one, "name", one.name.replace("-7/", "/"))
    assert compare(read_baseline(path), other).verdicts[0].note.startswith("two different trials of this name")
    with pytest.raises(NoBaselineError, match=r"baseline save"):
        find_baseline(results, "gate", "m2")


def test_one_process_is_stored_as_such(results):
    path = save(results, "a", processes=1).path
    assert all(one.assumed for one in read_baseline(path).benchmarks)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("relu/step\t1.0", ":2: 2 columns"),
        ("relu/step\tfast\t1\t5\t1\tabc", ":2: could not convert"),
        ("relu/step\t-1\t1\t5\t1\tabc", ":2: a time, a number of processes above 0"),
        ("relu/step\t1\tinf\t5\t1\tabc", ":2: a time, a number of processes above 0"),
        ("relu/step\tnan\t1\t5\t1\tabc", ":2: a time, a number of processes above 0"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, told):
    path = tmp_path / "x.txt"
    path.write_text(f"# lenet-bench baseline 1\n{line}\n")
    with pytest.raises(SideError, match=told):
        read_baseline(path)
