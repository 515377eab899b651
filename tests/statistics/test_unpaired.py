"""Welch's test on logs against scipy, how often it is wrong, and Holm's adjustment."""

import math

import numpy as np
import pytest
import scipy.stats

from bench.statistics.intervals import median_interval
from bench.statistics.unpaired import LogTime, compare_times, holm, log_time, log_time_from_interval

ALPHA = 0.05


def most(count, share):
    """The most hits that a chance of `share` explains."""
    return scipy.stats.binom.ppf(0.999, count, share)


def least(count, share):
    return scipy.stats.binom.ppf(0.001, count, share)


def test_an_interval_gives_its_error_back():
    medians = [1.0, 1.1, 0.9, 1.05, 1.02]
    direct, back = log_time(medians), log_time_from_interval(median_interval([[m] for m in medians]))
    assert (back.mean, back.error, back.degrees) == pytest.approx((direct.mean, direct.error, direct.degrees))


def test_welch_against_a_known_result():
    from scipy.stats import ttest_ind

    random = np.random.default_rng(1)
    a, b = random.normal(0, 0.01, 5), random.normal(0.02, 0.03, 7)
    ratio, p = compare_times(log_time(np.exp(a)), log_time(np.exp(b)))
    expected = ttest_ind(b, a, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert p == pytest.approx(expected.pvalue)
    assert (math.log(ratio.low), math.log(ratio.high)) == pytest.approx((interval.low, interval.high))


def test_what_is_not_known_stays_unknown():
    unknown = LogTime(math.nan, math.nan, math.nan)
    ratio, p = compare_times(unknown, log_time([1.0, 1.1]))
    assert math.isnan(p)
    assert math.isnan(ratio.value)
    assert math.isnan(compare_times(log_time([1.0]), log_time([1.0, 1.1]))[1])
    same, p = compare_times(log_time([1.0, 1.0]), log_time([1.0, 1.0]))
    assert (same.low, same.high, p) == (1, 1, 1)


def test_one_process_has_the_error_that_is_assumed_and_none_has_no_time():
    assert log_time([2.0], assumed_spread=0.03) == LogTime(math.log(2.0), 0.03, math.inf)
    assert math.isnan(log_time([]).mean)
    ratio, p = compare_times(log_time([1.0], assumed_spread=0.03), log_time([1.0], assumed_spread=0.04))
    assert (ratio.value, p) == (1.0, 1.0)
    assert ratio.high == pytest.approx(math.exp(scipy.stats.norm.ppf(0.975) * 0.05))


def test_a_ratio_beyond_any_number_is_infinite():
    ratio, _ = compare_times(LogTime(-400.0, 0.1, 4), LogTime(400.0, 0.1, 4))
    assert ratio.value == ratio.high == math.inf


def test_equal_sides_are_told_apart_as_often_as_alpha_says_however_unlike_they_spread():
    random = np.random.default_rng(3)
    alarms = covered = 0
    for _ in range(2_000):
        base = log_time(np.exp(0.01 * random.standard_normal(5)))
        head = log_time(np.exp(0.04 * random.standard_normal(12)))
        ratio, p = compare_times(base, head)
        alarms += p <= ALPHA
        covered += ratio.low <= 1 <= ratio.high
    assert least(2_000, ALPHA) <= alarms <= most(2_000, ALPHA)
    assert covered == 2_000 - alarms  # the interval and the test are one statement


def test_holm_keeps_the_family_and_leaves_out_what_was_not_tested():
    assert holm([0.01, math.nan, 0.04, 0.03]).tolist() == pytest.approx([0.03, math.nan, 0.06, 0.06], nan_ok=True)
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []
    random = np.random.default_rng(1)
    alarms = sum(bool((holm(random.random(20)) <= ALPHA).any()) for _ in range(2000))
    assert least(2000, ALPHA) <= alarms <= most(2000, ALPHA)
