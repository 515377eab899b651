"""The statistics of sweeps, comparisons and the gate: arrays in, estimates, intervals and p-values out.

The unit of inference is the repeat that was drawn anew: a seed for accuracies, a process for times, a pair of processes
for the gate. Blocks within one process share its memory layout and are not independent, so they never count as repeats.
A pair is one measurement of both sides under the same conditions; its datum is log(head / base), positive when the head
is slower. Nothing here knows what was timed.
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
DRAWS = 2_000  # resamples of a bootstrap


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


@functools.cache
def student_quantile(freedom: int, probability: float) -> float:
    """The quantile of Student's t distribution."""
    return float(stdtrit(freedom, probability))


def median_interval(processes: Sequence[Sequence[float]], confidence: float = 0.95) -> Estimate:
    """The typical seconds of a phase: each process's median over its rounds, then the geometric mean over processes.

    The interval is Student's t on the logs of the processes' medians: the processes are independent draws of memory
    layout, hash seed and moment, and the median within each has already done away with bursts. Five processes of 1.5 %
    spread, five rounds each: it covers 94-97 % whatever the rounds' noise, where `bootstrap_median_interval` goes from
    86 % (quiet rounds) to 98 % (rounds twice as noisy); at ten processes 95-96 % against 92-99 %. So the tables use
    this one. Neither covers where one process in five is 15 % slower (79 and 72 % with five processes, 93 and 94 % with
    twenty) or where the machine drifts through a whole run (counted in tests/test_statistics_paired.py).

    **Arguments:**

    - `processes`: for each process, the seconds of one iteration in each of its rounds, above 0.
    """
    return exp_interval([math.log(statistics.median(rounds)) for rounds in processes if len(rounds)], confidence)


def share_interval(count: int, of: int, confidence: float = 0.95) -> Estimate:
    """A share of independent cases with its exact interval (Clopper and Pearson 1934)."""
    low = float(betaincinv(count, of - count + 1, (1 - confidence) / 2)) if count else 0.0
    high = float(betaincinv(count + 1, of - count, (1 + confidence) / 2)) if count < of else 1.0
    return Estimate(count / of, low, high, of)


def exp_interval(logs: list[float], confidence: float = 0.95) -> Estimate:
    """The geometric mean of values given by their logs, with Student's t interval on the logs."""
    found = mean_interval(logs, confidence)
    return Estimate(math.exp(found.value), math.exp(found.low), math.exp(found.high), found.n) if logs else UNKNOWN


def bootstrap_median_interval(
    processes: Sequence[Sequence[float]], confidence: float = 0.95, draws: int = DRAWS, random_seed: int = 0
) -> Estimate:
    """As `median_interval`, with the percentile interval of a hierarchical bootstrap: processes are drawn with
    replacement, then rounds within each drawn process (Davison and Hinkley 1997, section 3.8; Kalibera and Jones 2013,
    "Rigorous benchmarking in reasonable time", for the hierarchy of benchmark runs).
    """
    logs = [np.log(rounds) for rounds in processes if len(rounds)]
    if not logs:
        return UNKNOWN
    value = math.exp(np.mean([np.median(rounds) for rounds in logs]))
    if len(logs) == 1:
        return Estimate(value, math.nan, math.nan, 1)
    random = np.random.default_rng(random_seed)
    resampled = _resample(logs, random.integers(0, len(logs), (draws, len(logs))), random)
    low, high = np.exp(np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2]))
    return Estimate(value, float(low), float(high), len(logs))


def bootstrap_ratio_interval(
    numerator: Sequence[Sequence[float]],
    denominator: Sequence[Sequence[float]],
    paired: bool = True,
    confidence: float = 0.95,
    draws: int = DRAWS,
    random_seed: int = 0,
) -> Estimate:
    """The ratio of two phases' times with the interval of the hierarchical bootstrap, as `bootstrap_median_interval`.

    **Arguments:**

    - `paired`: the same processes timed both (a process is drawn with both its sides), or the sides' processes have
      nothing to do with each other.
    """
    if paired:
        both = [(a, b) for a, b in zip(numerator, denominator, strict=True) if len(a) and len(b)]
        numerator, denominator = [a for a, _ in both], [b for _, b in both]
    above = [np.log(rounds) for rounds in numerator if len(rounds)]
    below = [np.log(rounds) for rounds in denominator if len(rounds)]
    if not above or not below:
        return UNKNOWN
    n = min(len(above), len(below))
    value = math.exp(np.mean([np.median(r) for r in above]) - np.mean([np.median(r) for r in below]))
    if n == 1:
        return Estimate(value, math.nan, math.nan, 1)
    random = np.random.default_rng(random_seed)
    first = random.integers(0, len(above), (draws, len(above)))
    second = first if paired else random.integers(0, len(below), (draws, len(below)))
    resampled = _resample(above, first, random) - _resample(below, second, random)
    low, high = np.exp(np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2]))
    return Estimate(value, float(low), float(high), n)


def _resample(processes: Sequence[Array], chosen: NDArray[np.int64], random: np.random.Generator) -> Array:
    """For each row of chosen processes, the mean of their medians, each over its own rounds drawn anew."""
    medians = np.empty(chosen.shape)
    for process, rounds in enumerate(processes):
        places = chosen == process
        redrawn = random.integers(0, len(rounds), (int(places.sum()), len(rounds)))
        medians[places] = np.median(rounds[redrawn], axis=1)
    mean: Array = medians.mean(axis=1)
    return mean


def is_narrow(estimate: Estimate, target: float) -> bool:
    """Whether the interval's half width is at most `target` of the value. An unknown interval is not narrow."""
    return estimate.half_width <= target * abs(estimate.value)
