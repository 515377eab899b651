"""What was drawn anew in each trial: accuracy by seed, time by process. The repeats that intervals rest on."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.records.record import Record


@dataclass(frozen=True)
class Repeats:
    """The repeats of one trial: what is left of a record for rankings and effects, a few hundred bytes.

    **Arguments:**

    - `run`: the folder of its run. `key`: the trial's.
    - `ok`: did it succeed? `knobs`: every knob and its value.
    - `seeds`: test accuracy, a share, by seed.
    - `times`: for each phase the log of the median seconds of one iteration, by process.
    """

    run: Path
    key: str
    ok: bool
    knobs: dict[str, Any]
    seeds: dict[int, float]
    times: dict[str, dict[float, float]]

    @classmethod
    def of(cls, record: Record, run: Path) -> Repeats:
        """The repeats in a record of the run with this folder."""
        samples = record.timing.samples if record.timing else {}
        times = {
            phase: {process: math.log(seconds) for process, seconds in process_medians(blocks).items()}
            for phase, blocks in samples.items()
        }
        return cls(run, record.key, record.status == "ok", record.knobs(), record.accuracies(), times)

    @functools.cached_property
    def accuracy(self) -> float:
        """Mean test accuracy over the seeds; NaN without any."""
        return mean(self.seeds.values())

    @property
    def processes(self) -> dict[float, float]:
        """The log of the median seconds of a step, by process."""
        return self.times.get("step", {})

    @functools.cached_property
    def log_step(self) -> float:
        """Mean of `processes`; NaN without any."""
        return mean(self.processes.values())


def mean(values: Iterable[float]) -> float:
    """The mean; NaN of nothing."""
    numbers = list(values)
    return math.fsum(numbers) / len(numbers) if numbers else math.nan


def process_medians(blocks: Iterable[Sequence[float]]) -> dict[float, float]:
    """The median seconds of one iteration over each process's rounds, by process; `blocks` as in `process_rounds`."""
    return {process: statistics.median(rounds) for process, rounds in process_rounds(blocks).items()}


def process_rounds(blocks: Iterable[Sequence[float]]) -> dict[float, list[float]]:
    """The seconds of one iteration in each round, by process.

    **Arguments:**

    - `blocks`: of one phase, as `bench.records.record.Timing` has them: `[process, round, iterations, seconds,
      cpu_seconds]`, the seconds of the whole block.
    """
    processes: dict[float, list[float]] = {}
    for process, _, iterations, seconds, _ in blocks:
        rounds = processes.get(process)
        if rounds is None:
            processes[process] = [seconds / iterations]
        else:
            rounds.append(seconds / iterations)
    return processes
