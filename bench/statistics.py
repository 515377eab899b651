"""Intervals for what a sweep measures: arrays in, an estimate with its bounds out.

The unit of inference is the repeat that was drawn anew: a seed for accuracies, a process for times. Blocks within one
process share its memory layout and are not independent, so they never count as repeats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit


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
    numbers = np.asarray(values, dtype=float)
    n = len(numbers)
    if n == 0:
        return UNKNOWN
    mean = float(numbers.mean())
    if n == 1:
        return Estimate(mean, math.nan, math.nan, 1)
    margin = float(stdtrit(n - 1, (1 + confidence) / 2) * numbers.std(ddof=1) / math.sqrt(n))
    return Estimate(mean, mean - margin, mean + margin, n)


def median_interval(processes: Sequence[Sequence[float]], confidence: float = 0.95) -> Estimate:
    """The typical seconds of a phase: each process's median over its rounds, then the geometric mean over processes.

    The interval is Student's t on the logs of the processes' medians: the processes are independent draws of memory
    layout, hash seed and moment, and the median within each has already done away with bursts. With five processes it
    covers as often as it says (tests/test_statistics.py counts), where a percentile bootstrap over five points would
    cover far less.

    **Arguments:**

    - `processes`: for each process, the seconds of one iteration in each of its rounds, above 0.
    """
    medians = [float(np.median(rounds)) for rounds in processes if len(rounds)]
    if not medians:
        return UNKNOWN
    logs = mean_interval(np.log(medians), confidence)
    return Estimate(math.exp(logs.value), math.exp(logs.low), math.exp(logs.high), logs.n)


def ratio_interval(
    numerator: Sequence[Sequence[float]], denominator: Sequence[Sequence[float]], confidence: float = 0.95
) -> Estimate:
    """The ratio of two phases' times, from processes that timed both: paired by process, so that what a process does
    to all trials alike cancels.
    """
    logs = [math.log(np.median(a) / np.median(b)) for a, b in zip(numerator, denominator, strict=True)]
    estimate = mean_interval(logs, confidence)
    return Estimate(math.exp(estimate.value), math.exp(estimate.low), math.exp(estimate.high), estimate.n)


def is_narrow(estimate: Estimate, target: float) -> bool:
    """Whether the interval's half width is at most `target` of the value. An unknown interval is not narrow."""
    return estimate.half_width <= target * abs(estimate.value)
