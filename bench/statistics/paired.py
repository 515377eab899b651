"""Statistics of paired differences: sign-flip tests, the Hodges-Lehmann estimate, bounds and detectable effects.

A pair is one measurement of both sides under the same conditions; its datum, called d, is log(head / base), positive
when the head is slower.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy.special import ndtri

from bench.statistics.intervals import UNKNOWN, Array, Estimate

FLIPS = 20_000  # random sign patterns; with them a p-value of 0.01 is known to +-0.0007
EXACT_UP_TO = 14  # pairs; 2^14 sign patterns are fewer than FLIPS, so all of them are taken


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
        signs = 1.0 - 2.0 * (np.arange(2**pairs)[:, None] >> np.arange(pairs) & 1)  # the bits of 0 to 2^pairs - 1
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


@functools.lru_cache(maxsize=1024)
def signed_rank_quantile(n: int, tail: float) -> int:
    """The largest c such that the signed-rank sum of n pairs is below c with probability at most `tail`; 0 if there
    is none (Wilcoxon 1945).
    """
    total = n * (n + 1) // 2
    if n > 50:
        deviation = math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return max(0, math.floor(total / 2 + float(ndtri(tail)) * deviation))
    ways = np.zeros(total + 1)
    ways[0] = 1.0
    for rank in range(1, n + 1):
        ways[rank:] = ways[rank:] + ways[: total + 1 - rank]
    below = np.cumsum(ways) / 2.0**n  # P(W <= w)
    return int(np.searchsorted(below, tail, side="right"))


def minimum_detectable_effect(spread: float, pairs: int, benchmarks: int, alpha: float, power: float = 0.9) -> float:
    """The slowdown, on the log scale, that a run of so many pairs finds with this power.

    Normal approximation of the signed-rank test, whose efficiency against the t-test is 3 / pi for normal differences
    (Hodges and Lehmann 1956); alpha is shared among the benchmarks (Bonferroni).

    **Arguments:**

    - `spread`: standard deviation of d from pair to pair.
    """
    z = -float(ndtri(alpha / max(1, benchmarks))) + float(ndtri(power))
    return float(spread * z / math.sqrt(pairs * 3 / math.pi))
