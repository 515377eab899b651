"""The statistics of sweeps, comparisons and the gate: arrays in, estimates, intervals and p-values out.

The unit of inference is the repeat that was drawn anew: a seed for accuracies, a process for times, a pair of processes
for the gate. Blocks within one process share its memory layout and are not independent, so they never count as repeats.
A pair is one measurement of both sides under the same conditions; its datum is log(head / base), positive when the head
is slower. Nothing here knows what was timed.
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, ndtri, stdtrit

Array = NDArray[np.float64]

FLIPS = 20_000  # random sign patterns; with them a p-value of 0.01 is known to +-0.0007
EXACT_UP_TO = 14  # pairs; 2^14 sign patterns are fewer than FLIPS, so all of them are taken
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


def signed_ranks(differences: Array) -> Array:
    """Ranks of |d| within each benchmark, midranks for ties, with the sign of d; 0 for zeros and NaN.

    Each column is scaled to sum of squares 1, so that benchmarks with unequal numbers of pairs compare (Wilcoxon 1945;
    Pratt 1959 for the zeros: they are ranked, then dropped).
    """
    from scipy.stats import rankdata

    ranks = np.zeros_like(differences)
    for column in range(differences.shape[1]):
        known = ~np.isnan(differences[:, column])
        values = differences[known, column]
        ranks[known, column] = rankdata(np.abs(values)) * np.sign(values)
    norms = np.sqrt((ranks**2).sum(axis=0))
    scaled: Array = np.divide(ranks, norms, out=np.zeros_like(ranks), where=norms > 0)
    return scaled


def sign_flip_max_t(differences: Array, random_seed: int = 0, flips: int = FLIPS) -> Array:
    """One-sided p-values for "the head is slower", adjusted over all benchmarks by the single-step max-T method.

        T_k = sum over pairs of the signed rank of d
        for each sign pattern (all 2^pairs of them, or `flips` at random): flip whole pairs, take max over k of T_k
        p_k = share of patterns, the observed one included, whose maximum is at least T_k

    Where the two sides are exchangeable each pair's d is symmetric about 0, and the chance that any benchmark's p is
    at most alpha is at most alpha, whatever the noise and however the benchmarks hang together, because a pair is
    flipped as a whole (Westfall and Young 1993, section 2.3; Romano and Wolf 2005).

    **Arguments:**

    - `differences`: (pairs, benchmarks). A benchmark without any datum gets p = 1.
    """
    pairs, benchmarks = differences.shape
    ranks = signed_ranks(differences)
    observed = ranks.sum(axis=0)
    if pairs <= EXACT_UP_TO:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=pairs))) if pairs else np.ones((1, 0))
        extra = 0
    else:
        signs = np.random.default_rng(random_seed).choice((-1.0, 1.0), size=(flips, pairs))
        extra = 1
    highest = (signs @ ranks).max(axis=1) if benchmarks else np.zeros(len(signs))
    # A hair's breadth of slack: the same sum in another order must count as equal.
    reached = (highest[:, None] >= observed[None, :] - 1e-9).sum(axis=0)
    p: Array = np.minimum(1.0, (reached + extra) / (len(signs) + extra))
    p[np.isnan(differences).all(axis=0)] = 1.0
    return p


def smallest_p(pairs: int, benchmarks: int = 1, flips: int = FLIPS) -> float:
    """The smallest p-value that so many pairs are sure to be able to give; a test with a larger one than its alpha may
    be blind however large the slowdown.

    All pairs of a benchmark slower: 2^-pairs. In a family every other benchmark has a sign pattern of its own that
    reaches as high, so in the worst case it is that many times as much.
    """
    exact = min(1.0, benchmarks * 2.0**-pairs)
    return exact if pairs <= EXACT_UP_TO else max(1 / (flips + 1), exact)


def hodges_lehmann(differences: Array, confidence: float = 0.95) -> Estimate:
    """The median of all pairwise means (d_i + d_j) / 2, and the interval that inverts the signed-rank test.

    Hodges and Lehmann 1963; the interval as in Hollander, Wolfe and Chicken 2014, section 3.3: exact for up to 50
    pairs by the distribution of the signed-rank sum, its normal approximation beyond. Too few pairs for the
    confidence: infinite bounds.

    **Arguments:**

    - `differences`: (pairs,), NaN dropped.
    """
    values = differences[~np.isnan(differences)]
    n = len(values)
    if n == 0:
        return UNKNOWN
    i, j = np.triu_indices(n)
    means = np.sort((values[i] + values[j]) / 2)
    dropped = signed_rank_quantile(n, (1 - confidence) / 2)
    if dropped < 1:
        return Estimate(float(np.median(means)), -math.inf, math.inf, n)
    return Estimate(float(np.median(means)), float(means[dropped - 1]), float(means[len(means) - dropped]), n)


def spread(differences: Array) -> float:
    """The standard deviation of d from pair to pair, NaN dropped; NaN with fewer than two."""
    values = differences[~np.isnan(differences)]
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan


def upper_bound(differences: Array, alpha: float = 0.05) -> float:
    """The largest slowdown, on the log scale, that these pairs do not rule out: a one-sided bound at 1 - alpha.

    Not inferior within a tolerance: the bound is below it. That is the one-sided signed-rank test of "at least that
    much slower" (Wellek 2010, section 5.4), and a statement that no test of "is it slower?" can make. Infinite with too
    few pairs, NaN with none.
    """
    return hodges_lehmann(differences, 1 - 2 * alpha).high


@functools.cache
def signed_rank_quantile(n: int, tail: float) -> int:
    """The largest c such that the signed-rank sum of n pairs is below c with probability at most `tail`; 0 if there
    is none.
    """
    total = n * (n + 1) // 2
    if n > 50:
        spread = math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return max(0, math.floor(total / 2 + float(ndtri(tail)) * spread))
    ways = np.zeros(total + 1)
    ways[0] = 1.0
    for rank in range(1, n + 1):
        ways[rank:] = ways[rank:] + ways[: total + 1 - rank]
    below = np.cumsum(ways) / 2.0**n  # P(W <= w)
    return int(np.searchsorted(below, tail, side="right"))


def minimum_detectable_effect(spread: float, pairs: int, benchmarks: int, alpha: float, power: float = 0.9) -> float:
    """The slowdown, on the log scale, that a run of so many pairs finds with this power.

    Normal approximation of the signed-rank test, whose efficiency against the t-test is 3 / pi; alpha is shared among
    the benchmarks.

    **Arguments:**

    - `spread`: standard deviation of d from pair to pair.
    """
    z = -float(ndtri(alpha / max(1, benchmarks))) + float(ndtri(power))
    return float(spread * z / math.sqrt(pairs * 3 / math.pi))
