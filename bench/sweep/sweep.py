"""A sweep: an experiment and a folder go in; every trial ends as a record in it.

Trains first (a pool of forked workers), then times (one fresh process after another, on an otherwise idle machine), and
writes each finished piece before it starts the next, so that an interrupted sweep resumes where it stopped. It draws
nothing and knows no MLflow: a `Watcher` is told what happens, only while no trial is being timed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import random
import time
from dataclasses import dataclass, field
from typing import Any

from bench.experiment.experiment import Experiment, NamedTrial
from bench.experiment.trial import Trial
from bench.machine.devices import check_devices
from bench.machine.locks import check_machine_lock, machine_lock
from bench.records.record import Record, SeedResult, Timing
from bench.records.run import Run
from bench.records.weights import Weights
from bench.sweep.timing_stage import TimingStage
from bench.sweep.training_stage import Options, TrainedSeed, TrainingStage
from bench.watcher import Watcher


@dataclass
class _Progress:
    """What is known of one trial while the sweep runs."""

    named: NamedTrial
    attempt: int
    started_s: float = 0.0
    seeds: dict[int, SeedResult] = field(default_factory=dict)
    network: dict[str, Any] = field(default_factory=dict)


class Sweep:
    """One execution of an experiment in a run's folder, new or resumed.

    **Arguments:**

    - `experiment`, `run`: what and where. The run's lock is held by the caller, from before this is made until
      `execute` has ended (as within `bench.sweep.start.start_run` and `resume_run`): what is still to do is read here.
    - `options`: how to train.
    - `watcher`: who is told.
    """

    def __init__(self, experiment: Experiment, run: Run, options: Options, watcher: Watcher) -> None:
        self._experiment, self._run, self._options, self._watcher = experiment, run, options, watcher
        self._logs = run.path / "logs"
        earlier = {record.key: (record.status, record.attempt) for record in run.each()}
        self._todo: dict[str, _Progress] = {}
        self._weights = Weights(run.path / "weights")
        for named in experiment.trials:
            status, attempt = earlier.get(named.trial.key, ("", 0))
            if status != "ok":
                self._todo[named.trial.key] = _Progress(named, attempt=attempt + 1)
        for part in run.parts_file.read():
            if part["kind"] == "seed" and part["key"] in self._todo:
                progress = self._todo[part["key"]]
                result = SeedResult(**part["result"])
                # What was killed or hung is tried again; what diverged would only diverge once more.
                if result.status == "ok" or result.cause == "diverged":
                    progress.seeds[result.seed] = result
                    progress.network = part["network"]

    @property
    def remaining(self) -> int:
        """Trials that have no record of success yet."""
        return len(self._todo)

    def execute(self) -> None:
        """Runs what is missing. Raises `BadInputError` before anything ran, `RecordError` when the disk is full,
        `LaunchError` when workers cannot be had; `KeyboardInterrupt` passes through after every worker was ended.
        """
        if self._experiment.timing.enabled:
            check_machine_lock()
        self._logs.mkdir(exist_ok=True)
        try:
            self._skip_absent_devices()
            self._train()
            self._time()
        finally:
            with contextlib.suppress(OSError):
                self._logs.rmdir()  # stays if a worker had something to say

    def _skip_absent_devices(self) -> None:
        reason = check_devices(named.trial.placement.device for named in self._experiment.trials)
        if reason:
            for progress in list(self._todo.values()):
                if progress.named.trial.placement.device == "cuda":
                    self._record(progress, "skipped", "no_device", f"no CUDA device: {reason}")

    def _record(
        self, progress: _Progress, status: str, cause: str = "", reason: str = "", timing: Timing | None = None
    ) -> None:
        trial = progress.named.trial
        record = Record(
            key=trial.key,
            name=progress.named.name,
            trial=trial.to_dict(),
            status=status,
            cause=cause,
            reason=reason,
            seeds=[progress.seeds[seed] for seed in sorted(progress.seeds)],
            timing=timing,
            network=progress.network,
            attempt=progress.attempt,
            started_s=progress.started_s or time.time(),
            ended_s=time.time(),
        )
        self._run.append(record)
        del self._todo[trial.key]
        self._watcher.recorded(record)

    # Training stage

    def _train(self) -> None:
        tasks: list[tuple[Trial, int]] = []
        for progress in self._todo.values():
            if progress.named.trial.recipe.data != "synthetic":
                missing = [seed for seed in self._experiment.seeds if seed not in progress.seeds]
                tasks += [(progress.named.trial, seed) for seed in missing]
        if tasks:
            self._watcher.stage("training", len(tasks))
            stage = TrainingStage(self._experiment, self._options, self._weights, self._logs)
            with contextlib.closing(stage.execute(tasks)) as ended:  # an error here ends the workers, too
                for seed in ended:
                    self._end_seed(self._todo[seed.key], seed)
        for progress in list(self._todo.values()):
            self._fail_if_a_seed_failed(progress)

    def _end_seed(self, progress: _Progress, ended: TrainedSeed) -> None:
        key, result = ended.key, ended.result
        progress.seeds[result.seed] = result
        progress.network = ended.network or progress.network
        progress.started_s = min(progress.started_s or math.inf, ended.started_s)
        part = {"kind": "seed", "key": key, "result": dataclasses.asdict(result), "network": progress.network}
        self._run.parts_file.append(part)
        self._watcher.advance(progress.named.name)
        if len(progress.seeds) == len(self._experiment.seeds):
            self._weights.settle(key, progress.seeds)
            self._fail_if_a_seed_failed(progress)

    def _fail_if_a_seed_failed(self, progress: _Progress) -> None:
        failed = [result for result in progress.seeds.values() if result.status != "ok"]
        if failed and progress.named.trial.key in self._todo:
            first = min(failed, key=lambda result: result.seed)
            of = f"seed {first.seed}: " if len(self._experiment.seeds) > 1 else ""
            self._record(progress, "failed", first.cause, of + first.reason)

    # Timing stage

    def _time(self) -> None:
        settings = self._experiment.timing
        for progress in list(self._todo.values()):
            if not settings.enabled or not progress.named.trial.variant.is_network:
                self._record(progress, "ok")
        for device in sorted({progress.named.trial.placement.device for progress in self._todo.values()}):
            group = {k: p.named for k, p in self._todo.items() if p.named.trial.placement.device == device}
            order = random.Random(self._run.experiment["uid"] + device)
            stage = TimingStage(self._experiment, group, self._run, order)
            with machine_lock(self._watcher.say):
                stage.execute(self._logs, self._watcher)
            for key in group:
                progress = self._todo[key]
                progress.network = progress.network or stage.networks.get(key, {})
                failure = stage.failures.get(key)
                if failure:
                    self._record(progress, "failed", failure[0], f"while timing: {failure[1]}", stage.timing(key))
                else:
                    self._record(progress, "ok", timing=stage.timing(key))
