"""The statistics of the gate: log ratios of pairs in, p-values, estimates and intervals out.

A pair is one measurement of both sides under the same conditions; its datum is log(head / base), positive when the
head is slower. Arrays are (pairs, benchmarks), with NaN where a pair has no datum for a benchmark. Nothing here knows
what was timed.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FLIPS = 20_000  # random sign patterns; with them a p-value of 0.01 is known to +-0.0007
EXACT_UP_TO = 14  # pairs; 2^14 sign patterns are fewer than FLIPS, so all of them are taken


@dataclass(frozen=True)
class Shift:
    """A location and its confidence interval, on the log scale. NaN bounds: not known."""

    value: float
    low: float
    high: float
    pairs: int


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


def smallest_p(pairs: int, flips: int = FLIPS) -> float:
    """The smallest p-value that so many pairs can give; a test with a larger one than its alpha can never fail
    anything.
    """
    return 2.0**-pairs if pairs <= EXACT_UP_TO else max(1 / (flips + 1), 2.0**-pairs)


def hodges_lehmann(differences: Array, confidence: float = 0.95) -> Shift:
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
        return Shift(math.nan, math.nan, math.nan, 0)
    i, j = np.triu_indices(n)
    means = np.sort((values[i] + values[j]) / 2)
    dropped = signed_rank_quantile(n, (1 - confidence) / 2)
    if dropped < 1:
        return Shift(float(np.median(means)), -math.inf, math.inf, n)
    return Shift(float(np.median(means)), float(means[dropped - 1]), float(means[len(means) - dropped]), n)


def signed_rank_quantile(n: int, tail: float) -> int:
    """The largest c such that the signed-rank sum of n pairs is below c with probability at most `tail`; 0 if there
    is none.
    """
    total = n * (n + 1) // 2
    if n > 50:
        from scipy.stats import norm

        spread = math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return max(0, math.floor(total / 2 + float(norm.ppf(tail)) * spread))
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
    from scipy.stats import norm

    z = norm.isf(alpha / max(1, benchmarks)) + norm.isf(1 - power)
    return float(spread * z / math.sqrt(pairs * 3 / math.pi))
