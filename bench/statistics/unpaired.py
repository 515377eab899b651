"""Times of two sides that were measured apart: seconds in, their ratio with its interval and a p-value out.

For stored results. What was measured in pairs is judged by the stronger tests of `bench.statistics.paired`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from bench.statistics.intervals import Array, Estimate


@dataclass(frozen=True)
class LogTime:
    """A time on the log scale, so that ratios are differences: the mean of the logs over processes, its standard error
    and the degrees of freedom behind that. An error that was assumed, not measured, has infinitely many.
    """

    mean: float
    error: float
    degrees: float


def log_time(medians: ArrayLike, assumed_spread: float = math.nan) -> LogTime:
    """From each process's median seconds, above 0.

    **Arguments:**

    - `assumed_spread`: the standard deviation of the log from process to process, taken where there is one process.
    """
    logs = np.log(np.asarray(medians, dtype=float))
    if len(logs) == 1:
        return LogTime(float(logs[0]), assumed_spread, math.inf)
    if len(logs) == 0:
        return LogTime(math.nan, math.nan, math.nan)
    return LogTime(float(logs.mean()), float(logs.std(ddof=1) / math.sqrt(len(logs))), len(logs) - 1)


def log_time_from_interval(estimate: Estimate, confidence: float = 0.95) -> LogTime:
    """From what `median_interval` made of the processes: its bounds are Student's, so their distance gives the error
    back.
    """
    if not estimate.n > 1:
        return log_time([estimate.value] if estimate.n == 1 else [])
    width = math.log(estimate.high / estimate.low)
    error = width / 2 / float(stdtrit(estimate.n - 1, (1 + confidence) / 2))
    return LogTime(math.log(estimate.low) + width / 2, error, estimate.n - 1)


def compare_times(base: LogTime, head: LogTime, confidence: float = 0.95) -> tuple[Estimate, float]:
    """The ratio head / base of independent processes with its interval, and the two-sided p-value for "they differ".

    Welch's t on the logs (Welch 1947), which does not ask the two sides to spread alike. `n` of the estimate is the
    degrees of freedom, rounded down. NaN where an error is not known.
    """
    difference = head.mean - base.mean
    variance = base.error**2 + head.error**2
    if not (math.isfinite(variance) and math.isfinite(difference)):
        return Estimate(_exp(difference), math.nan, math.nan, 0), math.nan
    if variance == 0:
        return Estimate(_exp(difference), _exp(difference), _exp(difference), 0), float(difference == 0)
    lost = base.error**4 / base.degrees + head.error**4 / head.degrees
    degrees = min(variance**2 / lost if lost else math.inf, 1e9)
    error = math.sqrt(variance)
    margin = float(stdtrit(degrees, (1 + confidence) / 2)) * error
    p = 2 * float(stdtr(degrees, -abs(difference) / error))
    return Estimate(_exp(difference), _exp(difference - margin), _exp(difference + margin), int(degrees)), p


def _exp(value: float) -> float:
    """The exponential, infinite where it is too large for a float."""
    return math.exp(value) if not value > 700 else math.inf


def holm(p: ArrayLike) -> Array:
    """p-values adjusted for a family: the chance that any true null hypothesis gets one of at most alpha is at most
    alpha, however the tests hang together (Holm 1979). NaN: not tested, and not of the family.
    """
    values = np.asarray(p, dtype=float)
    adjusted = np.full(values.shape, math.nan)
    order = np.argsort(values)[: int((~np.isnan(values)).sum())]
    steps = values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else []
    return adjusted
