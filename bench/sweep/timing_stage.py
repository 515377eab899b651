"""The timing stage: which processes and rounds are run, and when there are enough of them.

Trials of one device go in; raw samples a trial come out, each round written to the run's folder before the next
begins. The clock itself is in `bench.measure.blocks`, in another process.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from bench.analysis.repeats import process_rounds
from bench.errors import LaunchError
from bench.experiment.experiment import Experiment, NamedTrial
from bench.machine.environment import worker_environment
from bench.machine.processes import WorkerProcess
from bench.records.record import Timing
from bench.records.run import Run
from bench.statistics.intervals import is_narrow, median_interval
from bench.watcher import Watcher


class TimingStage:
    """Times a group of trials, all on one device.

        until every interval is narrow or the budget is spent, but for `processes` processes at least:
            start a fresh process; it builds and warms up all trials
            for each round: one block of every phase of every trial, in a new random order
        a process that dies names the trial it was busy with; the others go on in a new one

    **Arguments:**

    - `trials`: name and trial by key. `run`: where finished rounds are kept, and taken from when resumed.
    - `order`: the source of the random orders. `command`: the worker's command line, if not the usual one.
    """

    def __init__(
        self,
        experiment: Experiment,
        trials: dict[str, NamedTrial],
        run: Run,
        order: random.Random,
        command: list[str] | None = None,
    ) -> None:
        self._experiment, self._trials, self._run, self._order = experiment, trials, run, order
        self._command = command
        self._samples: dict[str, dict[str, list[list[float]]]] = {key: {} for key in trials}
        self._built: dict[str, list[dict[str, Any]]] = {key: [] for key in trials}
        self._processes = 0
        self._stopped = ""
        self.networks: dict[str, dict[str, Any]] = {}
        self.failures: dict[str, tuple[str, str]] = {}
        """Cause and reason of each trial that could not be timed."""
        for part in run.parts_file.read():
            self._take(part)

    def _take(self, part: dict[str, Any]) -> None:
        """Adds a finished piece, of this sitting or an earlier one."""
        if part["kind"] == "built" and part["key"] in self._trials:
            self._built[part["key"]].append(part)
            self.networks[part["key"]] = part["network"]
        elif part["kind"] == "round":
            for key, phases in part["samples"].items():
                if key in self._trials:
                    self._processes = max(self._processes, part["process"] + 1)
                    for phase, (iterations, seconds, cpu_s) in phases.items():
                        block = [part["process"], part["round"], iterations, seconds, cpu_s]
                        self._samples[key].setdefault(phase, []).append(block)

    def _keep(self, part: dict[str, Any]) -> None:
        self._run.parts_file.append(part)
        self._take(part)

    def timing(self, key: str) -> Timing:
        """The raw samples of one trial."""
        built = self._built[key]
        return Timing(
            samples=self._samples[key],
            prepare_s=[part["prepare_s"] for part in built if part["prepare_s"] > 0],
            warmup_s=[part["warmup_s"] for part in built],
            peak_memory_bytes=max((part["peak_memory_bytes"] for part in built), default=0),
            stopped="narrow" if self._stopped == "budget" and self._is_known(key) else self._stopped,
        )

    def execute(self, logs: Path, watcher: Watcher) -> None:
        """Runs processes until there is enough. Raises `LaunchError` if one dies before it could time anything."""
        settings = self._experiment.timing
        started = time.monotonic()
        watcher.stage("timing", settings.processes * settings.rounds)
        barren = 0  # processes in a row that neither finished a round nor named a culprit
        while self._pending():
            enough = self._processes >= settings.processes
            if enough and all(self._is_known(key) for key in self._pending()):
                self._stopped = "narrow"
                return
            if enough and time.monotonic() - started >= settings.budget_s:
                self._stopped = "budget"
                return
            before = self._processes, len(self.failures)
            failure = self._run_process(logs, watcher)
            barren = barren + 1 if before == (self._processes, len(self.failures)) else 0
            if barren == 2:
                cause, reason = failure or ("crashed", "no round was finished")
                raise LaunchError(f"the timing worker failed twice without timing anything ({cause}): {reason}")

    def _pending(self) -> list[str]:
        return [key for key in self._trials if key not in self.failures]

    def _is_known(self, key: str) -> bool:
        """Whether every phase of a trial has reached the target."""
        for blocks in self._samples[key].values():
            rounds = list(process_rounds(blocks).values())
            if not is_narrow(median_interval(rounds), self._experiment.timing.target_ci):
                return False
        return True

    def _run_process(self, logs: Path, watcher: Watcher) -> tuple[str, str] | None:
        """One process, all its rounds. Returns cause and reason if it died."""
        settings, keys = self._experiment.timing, self._pending()
        process, cursor = self._processes, logs / "cursor"
        cursor.write_bytes(b"%8d" % -1)
        task = {
            "kind": "time",
            "trials": [{"key": key, "trial": self._trials[key].trial.to_dict()} for key in keys],
            "phases": list(settings.phases),
            "rounds": settings.rounds,
            "block_s": settings.block_ms / 1e3,
            "order_seed": self._order.randrange(2**32),
            "cursor": str(cursor),
            "extensions": self._experiment.extensions,
        }
        threads = max(self._trials[key].trial.placement.threads for key in keys)
        round_s = len(keys) * len(settings.phases) * settings.block_ms / 1e3
        try:
            with WorkerProcess(
                task, worker_environment(threads), logs / f"timing-{process}.log", self._command
            ) as worker:
                for message in worker.messages(self._experiment.limits.round_s + 10 * round_s):
                    self._handle(message, process, watcher)
                    if message["kind"] == "round":
                        worker.answer("go")
                failure = worker.failure
            if failure:
                self._blame(int(cursor.read_bytes()), keys, failure)
            return failure
        finally:
            cursor.unlink(missing_ok=True)

    def _handle(self, message: dict[str, Any], process: int, watcher: Watcher) -> None:
        if message["kind"] == "failed":
            self.failures[message["key"]] = message["cause"], message["reason"]
        elif message["kind"] == "trial":
            self._keep({**message, "kind": "built", "process": process})
        elif message["kind"] == "round":
            self._keep({**message, "process": process})
            watcher.advance(f"process {process + 1}, round {message['round'] + 1}")

    def _blame(self, place: int, keys: list[str], failure: tuple[str, str]) -> None:
        """Lays a dead process at the door of the trial that it was busy with."""
        if 0 <= place < len(keys):
            self.failures[keys[place]] = failure
