"""The timing stage against a scripted worker: exact samples, and every way in which a process can die."""

import json
import random
import sys
from pathlib import Path

import pytest

from bench.errors import LaunchError
from bench.experiment.file import check
from bench.records.run import Run
from bench.sweep.timing_stage import TimingStage

FAKE = [sys.executable, str(Path(__file__).parents[1] / "fakes" / "fake_worker.py")]


class Silent:
    def __init__(self):
        self.steps = 0

    def stage(self, name, total):
        pass

    def advance(self, text):
        self.steps += 1

    def recorded(self, record):
        pass

    def say(self, text):
        pass


@pytest.fixture
def stage_of(tmp_path, monkeypatch):
    logs = tmp_path / "logs"
    logs.mkdir()

    def make(script, command=FAKE, **timing):
        settings = {"processes": 3, "rounds": 3, "budget_s": 60, **timing}
        content = {"base": {"data": "synthetic"}, "axes": {"batch_size": [1, 2, 4]}, "timing": settings,
                   "limits": {"round_s": 0.5}}  # fmt: skip
        experiment = check(content)
        trials = {named.trial.key: named for named in experiment.trials}
        keys = {named.name: key for key, named in trials.items()}
        script = {**script, "failures": [{**f, "key": keys[f["key"]]} for f in script.get("failures", [])]}
        script["seconds"] = {keys[name]: seconds for name, seconds in script.get("seconds", {}).items()}
        monkeypatch.setenv("FAKE_WORKER", json.dumps(script))
        run = Run(tmp_path, {"name": "x", "uid": "u", "trials": []}, {})
        stage = TimingStage(experiment, trials, run, random.Random(0), command)
        return stage, keys, logs

    return make


def test_samples_arrive_to_the_digit(stage_of):
    stage, keys, logs = stage_of({"seconds": {"b1": 0.001, "b2": 0.002, "b4": 0.004}})
    watcher = Silent()
    stage.execute(logs, watcher)
    assert watcher.steps == 9
    for name, seconds in (("b1", 0.001), ("b2", 0.002), ("b4", 0.004)):
        timing = stage.timing(keys[name])
        assert set(timing.samples) == {"forward", "backward", "step"}
        assert timing.samples["step"] == [
            [process, number, 10, pytest.approx(10 * seconds), pytest.approx(10 * seconds)]
            for process in range(3)
            for number in range(3)
        ]
        assert timing.stopped == "narrow"
        assert timing.peak_memory_bytes == 1024
    assert not (logs / "cursor").exists()


def test_wide_intervals_go_on_until_the_budget_is_spent(stage_of):
    stage, keys, logs = stage_of({"spread": 0.2}, budget_s=1.0)
    stage.execute(logs, Silent())
    timing = stage.timing(keys["b1"])
    assert timing.stopped == "budget"
    assert max(block[0] for block in timing.samples["step"]) >= 2


def test_phases_are_those_asked_for(stage_of):
    stage, keys, logs = stage_of({}, phases=["step"])
    stage.execute(logs, Silent())
    assert set(stage.timing(keys["b1"]).samples) == {"step"}


@pytest.mark.parametrize("when", ["build", "round"])
@pytest.mark.parametrize(
    ("how", "cause", "reason"),
    [
        ("crash", "crashed", "SIGABRT"),
        ("kill", "killed", "SIGKILL"),
        ("hang", "timeout", "silent for"),
        ("out_of_memory", "out_of_memory", "can't allocate memory"),
        ("not_json", "crashed", "not JSON"),
    ],
)
def test_a_dead_process_costs_one_trial(stage_of, how, cause, reason, when):
    stage, keys, logs = stage_of({"failures": [{"key": "b2", "when": when, "how": how}]})
    stage.execute(logs, Silent())
    assert set(stage.failures) == {keys["b2"]}
    assert stage.failures[keys["b2"]][0] == cause
    assert reason in stage.failures[keys["b2"]][1]
    for name in ("b1", "b4"):
        timing = stage.timing(keys[name])
        assert timing.stopped == "narrow"
        assert len({block[0] for block in timing.samples["step"]}) >= 3


def test_a_trial_that_raises_costs_no_process(stage_of):
    stage, keys, logs = stage_of({"failures": [{"key": "b4", "when": "build", "how": "raise"}]})
    stage.execute(logs, Silent())
    assert stage.failures == {keys["b4"]: ("error", "scripted")}
    assert len(stage.timing(keys["b1"]).samples["step"]) == 9


def test_all_trials_failing_ends_the_stage(stage_of):
    failures = [{"key": name, "when": "build", "how": "crash"} for name in ("b1", "b2", "b4")]
    stage, keys, logs = stage_of({"failures": failures})
    stage.execute(logs, Silent())
    assert set(stage.failures) == set(keys.values())


def test_a_worker_that_cannot_start_is_not_tried_for_ever(stage_of):
    stage, _, logs = stage_of({}, command=[sys.executable, "-c", "import sys; sys.exit('no torch')"])
    with pytest.raises(LaunchError, match=r"failed twice.*no torch"):
        stage.execute(logs, Silent())


def test_finished_rounds_are_not_timed_again(stage_of):
    stage, _, logs = stage_of({})
    stage.execute(logs, Silent())
    again, keys, logs = stage_of({})
    watcher = Silent()
    again.execute(logs, watcher)
    assert watcher.steps == 0
    assert len(again.timing(keys["b2"]).samples["step"]) == 9
