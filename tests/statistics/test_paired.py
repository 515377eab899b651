"""The paired statistics: how often they are wrong, counted, not only what they return.

Limits are those that a right method exceeds once in a thousand times, by the binomial distribution; seeds are fixed.
"""

import gzip
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from fakes import noise
from scipy.stats import binom, wilcoxon

from bench.statistics.paired import (
    hodges_lehmann,
    minimum_detectable_effect,
    sign_flip_max_t,
    signed_ranks,
    smallest_p,
    upper_bound,
)

KINDS = ("normal", "heavy", "bimodal", "drifting", "bursty")
ALPHA = 0.05
SUITES = 400


def most(count, share):
    """The most hits that a chance of `share` explains."""
    return binom.ppf(0.999, count, share)


def least(count, share):
    return binom.ppf(0.001, count, share)


def false_alarms(kind, *, pairs=12, benchmarks=6, suites=SUITES, change=None, coin=True):
    """In how many suites of identical code something is called slower."""
    random = np.random.default_rng(11)
    alarms = 0
    for _ in range(suites):
        times = noise.blocks(kind, pairs, benchmarks, random, coin=coin)
        differences = noise.pair_differences(times) if change is None else change(times)
        alarms += bool((sign_flip_max_t(differences, flips=1000) <= ALPHA).any())
    return alarms


@pytest.mark.parametrize("kind", KINDS)
def test_family_wise_error_is_at_most_alpha_with_correlated_benchmarks(kind):
    assert false_alarms(kind) <= most(SUITES, ALPHA)


def test_family_wise_error_is_not_bought_with_blindness():
    assert false_alarms("normal") >= least(SUITES, ALPHA * 0.7)


@pytest.mark.parametrize("pairs", [5, 24])
def test_family_wise_error_with_few_and_with_sampled_sign_patterns(pairs):
    assert false_alarms("bursty", pairs=pairs) <= most(SUITES, ALPHA)


def test_blocks_counted_as_pairs_raise_the_error():
    """The mutation every peer makes: rounds of one process taken for independent."""

    def pool(times):
        differences = times[..., 1] - times[..., 0]
        return differences.transpose(0, 2, 1).reshape(-1, differences.shape[1])

    assert false_alarms("normal", change=pool, suites=100) > 2 * most(100, ALPHA)


def test_sides_measured_one_after_the_other_raise_the_error():
    """The mutation that breaks the pairing: no coin flip, so that drift always falls on the head."""
    assert false_alarms("drifting", coin=False, suites=100) > most(100, ALPHA)
    assert false_alarms("drifting", coin=True, suites=100) <= most(100, ALPHA)


def test_one_slower_benchmark_does_not_drag_others_along():
    random = np.random.default_rng(3)
    named = wrongly = 0
    for _ in range(200):
        differences = noise.pair_differences(noise.blocks("normal", 12, 6, random))
        differences[:, 2] += 0.06
        p = sign_flip_max_t(differences)
        named += p[2] <= ALPHA
        wrongly += bool((np.delete(p, 2) <= ALPHA).any())
    assert named >= 190
    assert wrongly <= most(200, ALPHA)


def test_power_grows_with_the_effect_and_with_the_pairs():
    random = np.random.default_rng(5)
    suites = [noise.pair_differences(noise.blocks("heavy", 24, 3, random)) for _ in range(150)]

    def rejections(effect, pairs):
        return sum(sign_flip_max_t(d[:pairs] + effect, flips=1000)[0] <= ALPHA for d in suites)

    by_effect = [rejections(effect, 12) for effect in (0.0, 0.01, 0.02, 0.04, 0.08)]
    assert by_effect == sorted(by_effect)
    assert by_effect[0] < by_effect[1] < by_effect[-1]
    assert by_effect[-1] > 140
    by_pairs = [rejections(0.02, pairs) for pairs in (4, 8, 14, 24)]
    assert by_pairs == sorted(by_pairs)
    assert by_pairs[0] == 0 < by_pairs[1] < by_pairs[-1]


@pytest.mark.parametrize("effect", [0.02, 0.04])
def test_minimum_detectable_effect_is_found_as_often_as_it_says(effect):
    pairs, random = 24, np.random.default_rng(9)
    spread = effect / minimum_detectable_effect(1.0, pairs, 1, ALPHA)
    found = sum(
        sign_flip_max_t(random.normal(effect, spread, (pairs, 1)), flips=1000)[0] <= ALPHA for _ in range(SUITES)
    )
    assert least(SUITES, 0.88) <= found <= most(SUITES, 0.93)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pairs", [8, 24])
def test_hodges_lehmann_covers_as_often_as_it_says(kind, pairs):
    random, true = np.random.default_rng(13), 0.03
    differences = [noise.pair_differences(noise.blocks(kind, pairs, 1, random))[:, 0] + true for _ in range(SUITES)]
    shifts = [hodges_lehmann(d) for d in differences]
    covered = sum(shift.low <= true <= shift.high for shift in shifts)
    assert least(SUITES, 0.95) <= covered <= most(SUITES, 0.97)
    assert np.median([shift.value for shift in shifts]) == pytest.approx(true, abs=0.004)
    # Non-inferiority: a slowdown as large as the tolerance passes for smaller at most as often as alpha says.
    assert sum(upper_bound(d, ALPHA) < true for d in differences) <= most(SUITES, ALPHA)


def test_upper_bound_passes_code_that_did_not_change():
    random = np.random.default_rng(17)
    d = [noise.pair_differences(noise.blocks("normal", 24, 1, random))[:, 0] for _ in range(100)]
    assert sum(upper_bound(one) < math.log(1.05) for one in d) > 90


def test_a_swap_of_the_labels_turns_everything_round():
    random = np.random.default_rng(2)
    d = random.normal(0.01, 0.02, (11, 4))
    d[3, 1] = math.nan
    np.testing.assert_allclose(signed_ranks(-d), -signed_ranks(d))
    for column in d.T:
        one, other = hodges_lehmann(column), hodges_lehmann(-column)
        assert (other.value, other.low, other.high) == pytest.approx((-one.value, -one.high, -one.low))
        p = sign_flip_max_t(column[:, None])[0] + sign_flip_max_t(-column[:, None])[0]
        assert p == pytest.approx(1, abs=0.05)
        assert p > 1  # the observed pattern counts on both sides


def test_exact_p_is_that_of_the_signed_rank_test():
    random = np.random.default_rng(4)
    for pairs in (1, 2, 5, 9, 14):
        d = random.normal(0.01, 0.02, (pairs, 1))
        expected = wilcoxon(d[:, 0], alternative="greater", method="exact").pvalue
        assert sign_flip_max_t(d)[0] == pytest.approx(expected)


def test_sampled_p_is_close_to_the_exact_one():
    d = np.random.default_rng(6).normal(0.008, 0.02, (20, 1))
    expected = wilcoxon(d[:, 0], alternative="greater", method="exact").pvalue
    assert 0.001 < expected < 0.2
    spread = math.sqrt(expected * (1 - expected) / 20_000)
    assert sign_flip_max_t(d)[0] == pytest.approx(expected, abs=4 * spread)


def test_the_interval_holds_exactly_what_the_test_does_not_reject():
    d = np.random.default_rng(8).normal(0.01, 0.02, 17)
    shift = hodges_lehmann(d)

    def p(at):
        return wilcoxon(d - at, alternative="greater", method="exact").pvalue

    assert p(shift.low - 1e-9) <= 0.025 < p(shift.low + 1e-9)

    def less(at):
        return wilcoxon(d - at, alternative="less", method="exact").pvalue

    bound = upper_bound(d, ALPHA)
    assert less(bound + 1e-9) <= ALPHA < less(bound - 1e-9)


def test_smallest_p_is_reached_and_never_passed():
    for pairs in (1, 5, 8, 14):
        assert sign_flip_max_t(np.arange(1.0, pairs + 1)[:, None])[0] == smallest_p(pairs)
    assert sign_flip_max_t(np.arange(1.0, 31)[:, None])[0] == smallest_p(30)
    # In a family, another benchmark of mixed signs reaches as high under its own pattern.
    d = np.tile(np.arange(1.0, 9)[:, None], (1, 3))
    d[2, 1] *= -1
    d[[4, 6], 2] *= -1
    assert sign_flip_max_t(d)[0] == smallest_p(8, 3) == 3 / 2**8
    assert smallest_p(2, 12) == 1.0


def test_missing_pairs_are_left_out_and_nothing_is_called_slower_for_want_of_data():
    random = np.random.default_rng(10)
    d = random.normal(0.02, 0.02, (10, 2))
    d[7:, 0] = math.nan
    d[:, 1] = math.nan
    p = sign_flip_max_t(d)
    assert p[0] == pytest.approx(sign_flip_max_t(d[:7, :1])[0])
    assert p[1] == 1.0
    assert hodges_lehmann(d[:, 0]) == hodges_lehmann(d[:7, 0])
    assert hodges_lehmann(d[:, 0]).n == 7
    nothing = hodges_lehmann(d[:, 1])
    assert nothing.n == 0
    assert math.isnan(nothing.value)
    assert math.isnan(upper_bound(d[:, 1]))


def test_one_pair_and_none_decide_nothing():
    assert sign_flip_max_t(np.array([[0.5]]))[0] == 0.5
    one = hodges_lehmann(np.array([0.5]))
    assert (one.value, one.low, one.high) == (0.5, -math.inf, math.inf)
    assert upper_bound(np.array([0.5])) == math.inf
    assert list(sign_flip_max_t(np.empty((0, 2)))) == [1.0, 1.0]
    assert sign_flip_max_t(np.empty((5, 0))).shape == (0,)


def test_ties_and_zeros_are_no_evidence():
    assert sign_flip_max_t(np.zeros((8, 2))).tolist() == [1.0, 1.0]
    shift = hodges_lehmann(np.zeros(8))
    assert (shift.value, shift.low, shift.high) == (0, 0, 0)


def test_the_same_seed_gives_the_same_p():
    d = np.random.default_rng(1).normal(0.01, 0.02, (24, 3))
    assert sign_flip_max_t(d).tolist() == sign_flip_max_t(d).tolist()
    assert sign_flip_max_t(d, random_seed=1).tolist() != sign_flip_max_t(d).tolist()


RECORDED = Path(os.environ.get("LENET_BENCH_DATA", "")) / "aa_pairs.jsonl.gz"


@pytest.mark.skipif(not RECORDED.is_file(), reason="recorded pairs are not in $LENET_BENCH_DATA")
def test_recorded_pairs_of_identical_code_raise_no_more_alarms_than_alpha():
    rows = [json.loads(line) for line in gzip.decompress(RECORDED.read_bytes()).splitlines()]
    names = ("fwd16", "step16", "fwd64", "step64")
    d = np.array([[np.median(np.diff(np.log(row[name]), axis=1)) for name in names] for row in rows])
    random = np.random.default_rng(31)
    alarms = 0
    for _ in range(SUITES):
        chosen = d[random.choice(len(d), 24, replace=False)] * random.choice((-1, 1), (24, 1))
        alarms += bool((sign_flip_max_t(chosen, flips=1000) <= ALPHA).any())
    assert alarms <= most(SUITES, ALPHA)
