"""A run's folder: made once, opened, found by what a person types; its records come back as they were."""

import os

import pytest

from bench.errors import RecordError
from bench.experiment.trial import Trial
from bench.records.record import Record, SeedResult, Timing
from bench.records.run import Run, all_runs, find_run, reference_runs


def make_record(name="a", status="ok", **changes):
    trial = Trial.from_knobs({"activation": "tanh"})
    return Record(
        key=trial.key, name=name, trial=trial.to_dict(), status=status,
        seeds=[SeedResult(seed=0, history=[{"epoch": 1, "train_loss": None}], test_accuracy=0.5)],
        timing=Timing(samples={"forward": [[0, 0, 10, 0.01, 0.01]]}, stopped="narrow"), **changes,
    )  # fmt: skip


def make_run(path, **description):
    trial = Trial.from_knobs({"activation": "tanh"})
    trials = [{"key": "other", "name": "b", "trial": {}}, {"key": trial.key, "name": "a", "trial": trial.to_dict()}]
    return Run.create(path, {"name": "x", "uid": "u", "trials": trials} | description, {"id": "m"})


def test_a_record_comes_back_as_it_was(tmp_path):
    run = make_run(tmp_path / "run")
    record = make_record()
    run.append(record)
    assert Run.open(run.path).records() == [record]


def test_the_newest_record_of_a_trial_counts_in_the_order_of_the_plan(tmp_path):
    run = make_run(tmp_path / "run")
    run.append(make_record(status="failed"))
    run.append(make_record(attempt=2))
    run.append(Record(key="other", name="b", trial={}, status="skipped"))
    assert [(record.name, record.attempt) for record in run.records()] == [("b", 1), ("a", 2)]


@pytest.mark.parametrize("folder", ["/proc", "file"], ids=["not writable", "below a file"])
def test_a_folder_that_cannot_be_made(tmp_path, folder):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"cannot be made .*choose another with --results"):
        make_run(tmp_path / folder / "run")


def test_a_run_is_never_overwritten(tmp_path):
    make_run(tmp_path / "run")
    with pytest.raises(RecordError, match="is there already"):
        make_run(tmp_path / "run")


def test_what_is_no_run(tmp_path):
    with pytest.raises(RecordError, match=r"not a run's folder \(experiment.json is missing\)"):
        Run.open(tmp_path)
    (tmp_path / "experiment.json").write_text("{")
    with pytest.raises(RecordError, match="cannot be read"):
        Run.open(tmp_path)


def test_runs_are_found_by_what_a_person_types(tmp_path):
    for name, stamp in (("quick", "20260101-000000"), ("quick", "20260102-000000"), ("mnist", "20250101-000000")):
        make_run(tmp_path / name / stamp)
    assert find_run(tmp_path, "quick").name == "20260102-000000"
    assert find_run(tmp_path, "quick/20260101-000000").name == "20260101-000000"
    assert find_run(tmp_path, str(tmp_path / "mnist" / "20250101-000000")).parent.name == "mnist"
    assert find_run(tmp_path, "latest").parent.name == "quick"
    for missing in ("nothing", "", "..", "quick/1999"):
        with pytest.raises(RecordError, match="no such run"):
            find_run(tmp_path, missing)


def test_the_newest_run_is_the_one_that_began_last(tmp_path):
    """Whatever its folder is called: stamps of several time zones, and runs of before there was a time in them."""
    make_run(tmp_path / "quick" / "20260102-090000", started_s=1_767_312_000.0)
    make_run(tmp_path / "quick" / "20260101-160000", started_s=1_767_312_001.0)
    make_run(tmp_path / "quick" / "20250101-000000")
    os.utime(make_run(tmp_path / "made" / "by hand").path / "experiment.json", (1.0, 1.0))
    (make_run(tmp_path / "quick" / "20240101-000000").path / "experiment.json").write_text("damaged")
    order = ["by hand", "20240101-000000", "20250101-000000", "20260102-090000", "20260101-160000"]
    assert [path.name for path in all_runs(tmp_path)] == order
    assert find_run(tmp_path, "latest").name == find_run(tmp_path, "quick").name == "20260101-160000"


def test_the_runs_of_the_repository_are_never_the_newest(tmp_path):
    make_run(tmp_path / "reference" / "mnist", started_s=2e9)
    assert all_runs(tmp_path) == []
    for name in ("latest", "reference", "mnist"):
        with pytest.raises(RecordError, match="no such run"):
            find_run(tmp_path, name)
    make_run(tmp_path / "quick" / "20260101-000000", started_s=1e9)
    assert find_run(tmp_path, "latest").parent.name == "quick"
    assert find_run(tmp_path, "reference/mnist") == reference_runs(tmp_path)[0] == tmp_path / "reference" / "mnist"
    assert find_run(tmp_path / "reference", "mnist") == tmp_path / "reference" / "mnist"
