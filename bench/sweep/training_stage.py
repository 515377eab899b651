"""The training stage: all seeds of all trials, several at a time, each in a worker of its own.

Trainings share the machine, since accuracy does not mind company. Nothing is written here but the weights, which each
worker puts where it is told: the sweep records each seed as it ends.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BadInputError
from bench.experiment.experiment import Experiment
from bench.experiment.trial import Trial
from bench.records.record import SeedResult
from bench.records.weights import Weights
from bench.sweep.fork_pool import ForkPool, Outcome
from lenet.variant import Form


@dataclass(frozen=True)
class Options:
    """How trials are trained, as opposed to what is asked of them.

    **Arguments:**

    - `jobs`: workers at a time, one core each.
    - `data_root`: where the data sets are. `download`: whether missing ones may be fetched.
    """

    jobs: int
    data_root: Path
    download: bool = False


@dataclass(frozen=True)
class TrainedSeed:
    """One seed of one trial that has ended, well or not.

    **Arguments:**

    - `key`: the trial's. `result`: of this seed. `network`: as in `Record`; empty if no network was built.
    - `started_s`: when the worker was started, in seconds since the epoch.
    """

    key: str
    result: SeedResult
    network: dict[str, Any]
    started_s: float


@dataclass(frozen=True)
class _Running:
    """A task that a worker is busy with, and the place that it takes: one of `jobs`."""

    key: str
    seed: int
    place: int
    started_s: float


class TrainingStage:
    """Trains seeds of trials in forked workers, `options.jobs` at a time and a core each.

    **Arguments:**

    - `experiment`: gives the limits and the extensions. `options`: how to run.
    - `weights`: the folder that workers put their weights into. `logs`: the folder for what they print.
    """

    def __init__(self, experiment: Experiment, options: Options, weights: Weights, logs: Path) -> None:
        self._experiment, self._options, self._weights, self._logs = experiment, options, weights, logs
        self._cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

    def execute(self, tasks: Sequence[tuple[Trial, int]]) -> Generator[TrainedSeed, None, None]:
        """Trains each (trial, seed), and yields each as it ends. Closing the iterator ends all workers.

        Raises `BadInputError` before anything is trained if a data set or an extension cannot be loaded, `LaunchError`
        if workers cannot be had.
        """
        with ForkPool(self._logs) as pool:
            error = pool.load(
                _data_sets(trial for trial, _ in tasks),
                self._options.data_root,
                self._experiment.extensions,
                download=self._options.download,
            )
            if error:
                raise BadInputError(error)
            waiting = list(enumerate(tasks))[::-1]
            free = list(range(self._options.jobs))
            running: dict[int, _Running] = {}
            while waiting or running:
                while waiting and free:
                    number, (trial, seed) = waiting.pop()
                    running[number] = _Running(trial.key, seed, free.pop(), time.time())
                    pool.submit(number, self._task(trial, running[number]), self._experiment.limits.seed_s)
                for outcome in pool.wait():
                    ended = running.pop(outcome.id)
                    free.append(ended.place)
                    yield _trained(ended, outcome)

    def _task(self, trial: Trial, running: _Running) -> dict[str, Any]:
        return {
            "kind": "train",
            "trial": trial.to_dict(),
            "seed": running.seed,
            "weights": str(self._weights.path(running.key, running.seed)),
            "core": self._cores[running.place] if running.place < len(self._cores) else None,
            "data_root": str(self._options.data_root),
            "extensions": self._experiment.extensions,
        }


def _data_sets(trials: Iterable[Trial]) -> list[tuple[str, dict[str, Any]]]:
    """Name and form of each data set that trials learn from, once each."""
    pairs = {(trial.recipe.data, Form.of(trial.recipe, trial.variant.input_size)): None for trial in trials}
    return [(name, dataclasses.asdict(form)) for name, form in pairs]


def _trained(ended: _Running, outcome: Outcome) -> TrainedSeed:
    if outcome.message is None:
        result = SeedResult(ended.seed, status="failed", cause=outcome.cause, reason=outcome.reason)
        return TrainedSeed(ended.key, result, {}, ended.started_s)
    network = outcome.message.get("network", {})
    return TrainedSeed(ended.key, SeedResult.from_message(outcome.message), network, ended.started_s)
