"""What was drawn anew in each trial: accuracy by seed, time of a step by process. The repeats that intervals rest on.

A run's records go in, read once as long as their file does not change; one small `Draws` a trial comes out.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.records.record import Record
from bench.records.run import Run


@dataclass(frozen=True)
class Draws:
    """The repeats of one trial.

    **Arguments:**

    - `ok`: did it succeed? `knobs`: every knob and its value.
    - `seeds`: test accuracy, a share, by seed.
    - `times`: for each phase the log of the median seconds of one iteration, by process.
    """

    ok: bool
    knobs: dict[str, Any]
    seeds: dict[int, float]
    times: dict[str, dict[float, float]]

    @classmethod
    def of(cls, record: Record) -> Draws:
        """The repeats in a record."""
        samples = record.timing.samples if record.timing else {}
        return cls(
            record.status == "ok",
            record.knobs(),
            record.accuracies(),
            {phase: log_medians(blocks) for phase, blocks in samples.items()},
        )

    @functools.cached_property
    def accuracy(self) -> float:
        """Mean over the seeds; NaN without any."""
        return mean(self.seeds.values())

    @property
    def processes(self) -> dict[float, float]:
        """Of the step."""
        return self.times.get("step", {})

    @functools.cached_property
    def log_step(self) -> float:
        """Mean over the processes; NaN without any."""
        return mean(self.processes.values())


def mean(values: Any) -> float:
    """The mean; NaN of nothing."""
    numbers = list(values)
    return math.fsum(numbers) / len(numbers) if numbers else math.nan


def log_medians(blocks: Sequence[Sequence[float]]) -> dict[float, float]:
    """Log of the median seconds of one iteration, by process, from a record's blocks of one phase."""
    processes: dict[float, list[float]] = {}
    for process, _, iterations, seconds, _ in blocks:
        rounds = processes.get(process)
        if rounds is None:
            processes[process] = [seconds / iterations]
        else:
            rounds.append(seconds / iterations)
    return {process: math.log(statistics.median(rounds)) for process, rounds in processes.items()}


_read: dict[Path, tuple[tuple[int, int], dict[str, Draws]]] = {}


def remember(run: Run, draws: dict[str, Draws], state: tuple[int, int]) -> None:
    """Keeps what a reader of all records has made on its way, so that nobody has to read them again."""
    _read[run.path] = state, draws


def read_draws(run: Run) -> dict[str, Draws]:
    """The repeats of every trial of a run by its key, read again only if the records have changed."""
    state = run.records_file.state()
    known = _read.get(run.path)
    if known is None or known[0] != state:
        remember(run, {record.key: Draws.of(record) for record in run.each()}, state)
    return _read[run.path][1]
