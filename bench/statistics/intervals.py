"""Estimates with their confidence intervals: of means, of times over processes, of shares. Arrays in, numbers out.

The unit of inference is the repeat that was drawn anew: a seed for accuracies, a process for times, a pair of processes
for the gate. Blocks within one process share its memory layout and are not independent, so they never count as repeats.
Nothing here knows what was timed.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, stdtrit

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value with its confidence interval and the number of independent repeats behind it. NaN bounds: not known."""

    value: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2


UNKNOWN = Estimate(math.nan, math.nan, math.nan, 0)


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """The mean with Student's t interval (Student 1908). One value has no interval: its bounds are NaN."""
    # Plain sums: there are a handful of values, thousands of times, and numpy takes ten times as long for those.
    numbers = [float(value) for value in np.asarray(values, dtype=float)] if not isinstance(values, list) else values
    n = len(numbers)
    if n == 0:
        return UNKNOWN
    mean = math.fsum(numbers) / n
    if n == 1:
        return Estimate(mean, math.nan, math.nan, 1)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in numbers) / (n - 1))
    margin = student_quantile(n - 1, (1 + confidence) / 2) * deviation / math.sqrt(n)
    return Estimate(mean, mean - margin, mean + margin, n)


@functools.lru_cache(maxsize=1024)
def student_quantile(freedom: int, probability: float) -> float:
    """The quantile of Student's t distribution with so many degrees of freedom (Student 1908)."""
    return float(stdtrit(freedom, probability))


def median_interval(processes: Sequence[Sequence[float]], confidence: float = 0.95) -> Estimate:
    """The typical seconds of a phase: each process's median over its rounds, then the geometric mean over processes.

    The interval is Student's t on the logs of the processes' medians: the processes are independent draws of memory
    layout, hash seed and moment, and the median within each has already done away with bursts. Five processes of 1.5 %
    spread, five rounds each: it covers 94-97 % whatever the rounds' noise, where the percentile interval of a
    hierarchical bootstrap goes from 86 % (quiet rounds) to 98 % (rounds twice as noisy); at ten processes 95-96 %
    against 92-99 %. Neither covers where one process in five is 15 % slower (79 and 72 % with five processes, 93 and
    94 % with twenty) or where the machine drifts through a whole run (counted in tests/statistics/test_intervals.py).

    **Arguments:**

    - `processes`: for each process, the seconds of one iteration in each of its rounds, above 0.
    """
    return exp_interval([math.log(statistics.median(rounds)) for rounds in processes if len(rounds)], confidence)


def share_interval(count: int, of: int, confidence: float = 0.95) -> Estimate:
    """The share `count / of` of independent cases with its exact interval (Clopper and Pearson 1934)."""
    low = float(betaincinv(count, of - count + 1, (1 - confidence) / 2)) if count else 0.0
    high = float(betaincinv(count + 1, of - count, (1 + confidence) / 2)) if count < of else 1.0
    return Estimate(count / of, low, high, of)


def exp_interval(logs: list[float], confidence: float = 0.95) -> Estimate:
    """The geometric mean of values given by their logs, with Student's t interval on the logs."""
    mean = mean_interval(logs, confidence)
    return Estimate(math.exp(mean.value), math.exp(mean.low), math.exp(mean.high), mean.n) if logs else UNKNOWN


def is_narrow(estimate: Estimate, target: float) -> bool:
    """Whether the interval's half width is at most `target` of the value. An unknown interval is not narrow."""
    return estimate.half_width <= target * abs(estimate.value)
