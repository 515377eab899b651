"""The training stage with real workers: what it yields, in how many places, and what ends it."""

import contextlib
import os

import pytest
from fakes.processes import alive, wait_until

from bench.errors import BadInputError
from bench.experiment.file import check
from bench.records.weights import Weights
from bench.sweep import training_stage
from bench.sweep.training_stage import Options, TrainingStage

pytestmark = pytest.mark.integration


@pytest.fixture
def stage_of(tmp_path):
    """Makes a stage, and its tasks: every seed of every trial of one epoch on digits, and what `base` changes."""

    def make(jobs=2, seeds=1, limits=None, **base):
        content = {"seeds": seeds, "base": {"data": "digits", "epochs": 1, "batch_size": 256, **base},
                   "axes": {"activation": ["relu", "tanh"]}, "limits": limits or {}}  # fmt: skip
        experiment = check(content)
        logs = tmp_path / "logs"
        logs.mkdir(exist_ok=True)
        stage = TrainingStage(experiment, Options(jobs, tmp_path), Weights(tmp_path / "weights"), logs)
        return stage, [(named.trial, seed) for named in experiment.trials for seed in experiment.seeds]

    return make


def test_every_seed_comes_once_with_its_network_and_its_weights(stage_of, tmp_path):
    stage, tasks = stage_of(seeds=2)
    ended = list(stage.execute(tasks))
    assert sorted((seed.key, seed.result.seed) for seed in ended) == sorted((trial.key, seed) for trial, seed in tasks)
    assert {seed.result.status for seed in ended} == {"ok"}
    assert all(seed.network["parameters"] > 1000 for seed in ended)
    assert all(seed.started_s > 0 for seed in ended)
    assert len(list((tmp_path / "weights").glob("*.pt"))) == 4


def test_no_more_than_jobs_at_a_time_and_a_core_each(stage_of, monkeypatch):
    running, most, cores = set(), [], []

    class Counting(training_stage.ForkPool):
        def submit(self, number, task, limit_s):
            running.add(number)
            most.append(len(running))
            cores.append(task["core"])
            super().submit(number, task, limit_s)

        def wait(self):
            outcomes = super().wait()
            running.difference_update(outcome.id for outcome in outcomes)
            return outcomes

    monkeypatch.setattr(training_stage, "ForkPool", Counting)
    stage, tasks = stage_of(jobs=1, seeds=2)
    assert len(list(stage.execute(tasks))) == 4
    assert max(most) == 1
    assert set(cores) == ({min(os.sched_getaffinity(0))} if hasattr(os, "sched_getaffinity") else {None})


def test_a_worker_over_its_time_is_a_failed_seed(stage_of):
    stage, tasks = stage_of(jobs=1, limits={"seed_s": 0.5}, epochs=5000)
    (ended,) = stage.execute(tasks[:1])
    assert (ended.key, ended.result.seed, ended.network) == (tasks[0][0].key, 0, {})
    assert (ended.result.status, ended.result.cause) == ("failed", "timeout")
    assert "within 0.5 s" in ended.result.reason


def test_missing_data_is_said_before_anything_is_trained(stage_of, tmp_path):
    stage, tasks = stage_of(data="mnist")
    with pytest.raises(BadInputError, match=f"mnist is not in {tmp_path}"):
        next(stage.execute(tasks))


def test_closing_it_ends_the_workers(stage_of, monkeypatch):
    pids = []

    class Watched(training_stage.ForkPool):
        def submit(self, number, task, limit_s):
            super().submit(number, task, limit_s)
            pids.append(self._jobs[number].pid)

    monkeypatch.setattr(training_stage, "ForkPool", Watched)
    stage, tasks = stage_of(jobs=2, epochs=1)
    long, _ = stage_of(epochs=5000)[1][0]
    with contextlib.closing(stage.execute([tasks[0], (long, 0)])) as ended:
        assert next(ended).key == tasks[0][0].key
        assert alive(pids[1])
    wait_until(lambda: not any(map(alive, pids)))
