"""How runs begin: their folders, what is offered, resumed and refused, and what is estimated."""

import json
import os
import subprocess
import sys

import pytest

from bench.errors import BusyError, RecordError
from bench.experiment.file import check
from bench.machine.locks import lock
from bench.sweep import start as runs
from bench.sweep.start import estimate_s, plan_experiment, resume_run, start_run

BARE = 'seeds = 1\n[base]\ndata = "synthetic"\n[timing]\nenabled = false\n'


def test_runs_of_one_second_are_numbered_and_named_for_the_time_in_utc(tmp_path, monkeypatch):
    file = tmp_path / "bare.toml"
    file.write_text(BARE)
    monkeypatch.setattr(runs.time, "time", lambda: 1_767_312_000.0)
    for _ in range(3):
        with start_run(file, [], tmp_path / "results", [], ask=lambda *_: False):
            pass
    names = ["20260102-000000", "20260102-000000-2", "20260102-000000-3"]
    assert sorted(path.name for path in (tmp_path / "results" / "bare").iterdir()) == names


def test_the_time_zone_does_not_decide_which_run_is_the_newest(tmp_path):
    (tmp_path / "bare.toml").write_text(BARE)
    for zone, size in (("Asia/Tokyo", 16), ("America/Los_Angeles", 32)):
        command = [sys.executable, "-m", "bench", "run", "bare.toml", "--no-track", "--set", f"batch_size={size}"]
        subprocess.run(command, cwd=tmp_path, env=os.environ | {"TZ": zone}, check=True, capture_output=True)
    command = [sys.executable, "-m", "bench", "table", "latest", "--csv"]
    table = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert ",32," in table
    assert ",16," not in table


def test_the_estimate_grows_with_what_is_trained_and_the_budget_bounds_what_is_timed():
    def estimate(jobs=1, **changes):
        return estimate_s(check({"seeds": 2, "base": {"data": "digits", "epochs": 2}, **changes}), jobs)

    training, timing = estimate()
    assert training > 0
    assert estimate(seeds=4)[0] == 2 * training
    assert estimate(jobs=2)[0] == training / 2
    assert estimate(base={"data": "synthetic"}) == (0.0, timing)
    assert estimate(timing={"enabled": False}) == (training, 0.0)
    assert 50 < estimate(timing={"processes": 100, "rounds": 100, "budget_s": 60})[1] < 120


def test_a_plan_reads_the_file_and_makes_nothing(tmp_path):
    (tmp_path / "bare.toml").write_text(BARE)
    experiment = plan_experiment(tmp_path / "bare.toml", ["batch_size=16,32"])
    assert (experiment.name, len(experiment.trials)) == ("bare", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["bare.toml"]


@pytest.fixture
def begun(tmp_path):
    """The folder of a run of `bare.toml` that has recorded nothing."""
    (tmp_path / "bare.toml").write_text(BARE)
    with start_run(tmp_path / "bare.toml", [], tmp_path / "results", ["run", "bare.toml"], lambda *_: False) as (
        _,
        run,
    ):
        pass
    return run.path


def test_an_interrupted_run_of_the_same_trials_is_offered_and_taken(tmp_path, begun):
    offered = []

    def accept(*offer):
        offered.append(offer)
        return True

    with start_run(tmp_path / "bare.toml", [], tmp_path / "results", [], accept) as (_, run):
        assert run.path == begun
    assert offered == [(begun, 0, 1)]
    with start_run(tmp_path / "bare.toml", ["batch_size=16"], tmp_path / "results", [], accept) as (_, run):
        assert run.path != begun
    assert len(offered) == 1


def test_what_was_asked_is_resumed_after_its_file_has_gone(tmp_path, begun):
    (tmp_path / "bare.toml").unlink()
    with resume_run(tmp_path / "results", "bare") as (experiment, run):
        assert run.path == begun
        assert [named.trial.key for named in experiment.trials] == [trial["key"] for trial in run.experiment["trials"]]


@pytest.mark.parametrize("what", ["id", "torch"])
def test_a_run_of_another_machine_or_torch_is_not_resumed(tmp_path, begun, what):
    machine = json.loads((begun / "machine.json").read_text())
    (begun / "machine.json").write_text(json.dumps({**machine, what: "another"}))
    with pytest.raises(RecordError, match=f"began with {what} another"), resume_run(tmp_path / "results", "bare"):
        pass


def test_a_run_that_another_process_works_on_is_not_resumed(tmp_path, begun):
    with (
        lock(begun / "lock", ""),
        pytest.raises(BusyError, match="another process is working on this run"),
        resume_run(tmp_path / "results", "bare"),
    ):
        pass
