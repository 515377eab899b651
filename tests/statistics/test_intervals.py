"""Intervals: to the digit against scipy, and how often they cover the truth when it is known."""

import math

import numpy as np
import pytest
import scipy.stats
from fakes import noise
from fakes.bootstrap import bootstrap_median_interval, bootstrap_ratio_interval

from bench.statistics.intervals import UNKNOWN, Estimate, is_narrow, mean_interval, median_interval

NOISE = ("normal", "heavy_tailed", "bimodal", "drifting")
DRAWS = 1_000


@pytest.mark.parametrize("values", [[0.98, 0.97], [0.981, 0.975, 0.99], [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_a_mean_has_students_interval(values, confidence):
    estimate = mean_interval(values, confidence)
    low, high = scipy.stats.t.interval(confidence, len(values) - 1, loc=np.mean(values), scale=scipy.stats.sem(values))
    assert estimate.n == len(values)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((np.mean(values), low, high), rel=1e-12)
    assert estimate.half_width == pytest.approx((high - low) / 2)


def test_a_median_is_the_geometric_mean_of_the_processes_medians():
    processes = [[1.0, 1.1, 50.0], [1.2, 1.3, 1.25, 1.21], [0.9]]
    medians = [1.1, (1.21 + 1.25) / 2, 0.9]
    low, high = scipy.stats.t.interval(0.95, 2, loc=np.log(medians).mean(), scale=scipy.stats.sem(np.log(medians)))
    estimate = median_interval(processes)
    expected = (scipy.stats.gmean(medians), math.exp(low), math.exp(high))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(expected, rel=1e-12)
    assert estimate.n == 3


def test_rounds_are_no_repeats():
    """A thousand rounds of two processes say no more than two processes do."""
    few = median_interval([[1.0], [1.1]])
    assert median_interval([[1.0] * 1000, [1.1] * 1000]) == few


def test_nothing_and_one_value_have_no_interval():
    for empty in (mean_interval([]), median_interval([]), median_interval([[], []])):
        assert empty.n == 0
        assert all(math.isnan(number) for number in (empty.value, empty.low, empty.high))
    for one in (mean_interval([2.0]), median_interval([[2.0, 2.0]])):
        assert (one.value, one.n) == (pytest.approx(2.0), 1)
        assert math.isnan(one.low)
        assert math.isnan(one.high)


def test_a_process_without_rounds_is_left_out():
    assert median_interval([[1.0], [], [2.0]]) == median_interval([[1.0], [2.0]])


def test_nan_spreads_rather_than_vanishing():
    assert math.isnan(mean_interval([1.0, math.nan]).value)
    assert math.isnan(median_interval([[1.0, math.nan], [1.0]]).low)


@pytest.mark.parametrize(
    ("estimate", "narrow"),
    [
        (Estimate(10.0, 9.75, 10.25, 5), True),
        (Estimate(10.0, 9.5, 10.5, 5), True),
        (Estimate(10.0, 9.4, 10.6, 5), False),
        (Estimate(-10.0, -10.5, -9.5, 5), True),
        (Estimate(10.0, 10.0, 10.0, 2), True),
        (Estimate(10.0, math.nan, math.nan, 1), False),
        (UNKNOWN, False),
    ],
)
def test_narrow_is_a_half_width_within_the_target(estimate, narrow):
    assert is_narrow(estimate, 0.05) is narrow


def drawn_noise(kind, random, processes, rounds):
    """Draws around 0, (processes, rounds): rounds of one process are as unlike each other as processes are."""
    shape = (processes, rounds)
    if kind == "normal":
        return random.normal(size=shape)
    if kind == "heavy_tailed":
        return random.standard_t(3, size=shape)
    if kind == "bimodal":
        return random.choice([-1.0, 1.0], size=shape) + 0.3 * random.normal(size=shape)
    drift = np.linspace(-1.5, 1.5, processes * rounds).reshape(shape)
    return drift + random.normal(size=shape)


def check_coverage(hits, kind):
    """Within what chance allows of 95 %: not below it, and for normal noise not above it either."""
    # Where processes fall into two modes, five may all lie in one: no interval can know of the other then.
    share = 0.90 if kind == "bimodal" else 0.95
    fewest, most = scipy.stats.binom.ppf([0.001, 0.999], len(hits), share)
    assert sum(hits) >= fewest, f"{kind}: covered {np.mean(hits):.3f}"
    assert kind != "normal" or sum(hits) <= most, f"{kind}: covered {np.mean(hits):.3f}"


@pytest.mark.parametrize("kind", NOISE)
@pytest.mark.parametrize("n", [5, 10])
def test_the_mean_of_seeds_is_covered(kind, n):
    random = np.random.default_rng(1)
    estimates = [mean_interval(0.98 + 0.01 * drawn_noise(kind, random, n, 1)[:, 0]) for _ in range(DRAWS)]
    check_coverage([e.low <= 0.98 <= e.high for e in estimates], kind)


@pytest.mark.parametrize("kind", NOISE)
@pytest.mark.parametrize("n", [5, 10])
def test_the_time_of_a_phase_is_covered(kind, n):
    random = np.random.default_rng(2)
    seconds = [
        1e-3 * np.exp(0.02 * drawn_noise(kind, random, n, 1) + 0.01 * drawn_noise(kind, random, n, 6))
        for _ in range(DRAWS)
    ]
    check_coverage([e.low <= 1e-3 <= e.high for e in map(median_interval, seconds)], kind)


# Student's interval against the bootstrap ----------------------------------------------------------------------------

SUITES = 400


def least(count, share):
    """The fewest hits that a chance of `share` explains."""
    return scipy.stats.binom.ppf(0.001, count, share)


def coverage(interval, runs):
    return sum(one.low <= 1 <= one.high for one in map(interval, runs))


def bootstrap(run):
    return bootstrap_median_interval(run, draws=500)


@pytest.mark.parametrize("kind", ["normal", "heavy", "bursty"])
def test_the_interval_of_the_tables_covers_with_five_processes(kind):
    runs = np.exp(noise.processes(kind, SUITES, 5, 5, np.random.default_rng(21)))
    assert coverage(median_interval, runs) >= least(SUITES, 0.95)


def test_the_bootstrap_covers_less_with_few_processes_and_quiet_rounds():
    """Why the tables use Student's interval: with five processes a percentile bootstrap is too narrow."""
    random = np.random.default_rng(22)
    runs = np.exp(0.015 * random.standard_normal((SUITES, 5, 1)) + 0.005 * random.standard_normal((SUITES, 5, 5)))
    assert coverage(bootstrap, runs) < least(SUITES, 0.95) <= coverage(median_interval, runs)


@pytest.mark.parametrize("kind", ["normal", "heavy", "bimodal", "bursty"])
def test_the_bootstrap_covers_with_twenty_processes(kind):
    runs = np.exp(noise.processes(kind, 200, 20, 5, np.random.default_rng(23)))
    assert coverage(bootstrap, runs) >= least(200, 0.93)


def test_what_neither_interval_of_a_sweep_can_cover():
    """Written down so that nobody thinks otherwise: a lottery of layouts in few processes, and drift."""
    random = np.random.default_rng(24)
    for kind in ("bimodal", "drifting"):
        runs = np.exp(noise.processes(kind, 200, 5, 5, random))
        assert coverage(median_interval, runs) < least(200, 0.95)
        assert coverage(bootstrap, runs) < least(200, 0.95)


def test_the_bootstrapped_ratio_uses_the_pairing():
    random = np.random.default_rng(25)
    shared = 0.05 * random.standard_normal((12, 1))
    a = np.exp(shared + 0.002 * random.standard_normal((12, 5)) + math.log(1.1))
    b = np.exp(shared + 0.002 * random.standard_normal((12, 5)))
    paired = bootstrap_ratio_interval(a, b)
    apart = bootstrap_ratio_interval(a, b, paired=False)
    assert paired.low < 1.1 < paired.high
    assert apart.half_width > 5 * paired.half_width
    assert apart.value == paired.value == pytest.approx(1.1, rel=0.01)


def test_the_bootstrap_of_one_process_and_of_none():
    assert bootstrap_median_interval([]).n == 0
    one = bootstrap_median_interval([[1.0, 2.0, 4.0]])
    assert one.value == pytest.approx(2.0)
    assert math.isnan(one.low)
    assert bootstrap_ratio_interval([[1.0], []], [[2.0], [3.0]]).n == 1
    assert bootstrap_ratio_interval([], [], paired=False).n == 0
