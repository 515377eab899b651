"""Bootstrap intervals of times, to show why the tables use Student's interval instead: with few processes these are too
narrow (counted in tests/statistics/test_intervals.py).
"""

import math

import numpy as np

from bench.statistics.intervals import UNKNOWN, Estimate

DRAWS = 2_000  # resamples


def bootstrap_median_interval(processes, confidence=0.95, draws=DRAWS, random_seed=0):
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


def bootstrap_ratio_interval(numerator, denominator, paired=True, confidence=0.95, draws=DRAWS, random_seed=0):
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


def _resample(processes, chosen, random):
    """For each row of chosen processes, the mean of their medians, each over its own rounds drawn anew."""
    medians = np.empty(chosen.shape)
    for process, rounds in enumerate(processes):
        places = chosen == process
        redrawn = random.integers(0, len(rounds), (int(places.sum()), len(rounds)))
        medians[places] = np.median(rounds[redrawn], axis=1)
    return medians.mean(axis=1)
