"""The gate's decision on scripted pairs: what fails, passes or is left open, and how often the whole rule errs."""

import dataclasses
import math

import pytest
import scipy.stats
from fakes.scripted_pairs import BENCHMARKS, NAMES, NOISES, Scripted, decide_scripted, drifting, make_pair, normal

from bench.errors import GateError
from bench.gate.decision import NO_VERDICT, PASS, REGRESSION, decide
from bench.gate.settings import Settings, check_seeds, check_settings
from bench.gate.sides.channel import CONTROL
from bench.verdicts.verdict import ACCEPTED, FASTER, MISSING, NEW, SAME, SLOWER, UNKNOWN

QUIET = normal(0.01)
VICTIM = "relu_64/step"


def kinds(decision):
    return {one.name: one.verdict for one in decision.verdicts}


def of(decision, name):
    return next(one for one in decision.verdicts if one.name == name)


# ---- one gate at a time ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_identical_code_passes(seed):
    decision = decide_scripted(Scripted(QUIET, seed))
    assert decision.outcome == PASS
    assert set(kinds(decision).values()) == {SAME}
    assert decision.why == "12 compared, none slower"


@pytest.mark.parametrize("slowdown", [0.04, 0.1])
def test_a_slowdown_fails_and_names_only_the_right_benchmark(slowdown):
    decision = decide_scripted(Scripted(QUIET, shifts={VICTIM: math.log1p(slowdown)}))
    assert decision.outcome == REGRESSION
    assert decision.why == f"{VICTIM} slower"
    assert [name for name, verdict in kinds(decision).items() if verdict != SAME] == [VICTIM]
    found = of(decision, VICTIM)
    assert found.low < 1 + slowdown < found.high
    assert found.ratio == pytest.approx(1 + slowdown, abs=0.01)
    assert decision.verdicts[0] is found  # the worst first
    assert len(found.base_s) == len(found.head_s) == 24


def test_only_what_was_routed_is_confirmed():
    measure = Scripted(QUIET, shifts={VICTIM: 0.1})
    decide_scripted(measure)
    assert measure.calls == [("screen", 8, NAMES), ("confirm", 24, [VICTIM])]


def test_a_speedup_passes_and_is_said():
    decision = decide_scripted(Scripted(QUIET, shifts={VICTIM: -0.1}))
    assert (decision.outcome, kinds(decision)[VICTIM]) == (PASS, FASTER)


def test_what_is_significant_but_below_the_floor_passes_with_a_note():
    decision = decide_scripted(Scripted(normal(0.001), shifts={VICTIM: math.log1p(0.017)}))
    assert decision.outcome == PASS
    assert of(decision, VICTIM).p < 0.001
    assert of(decision, VICTIM).note == "slower by less than the floor of 2.0%"


def test_wide_noise_is_extended_once_and_then_left_open():
    measure = Scripted(normal(0.2), seed=1)
    decision = decide_scripted(measure)
    assert [(stage, count) for stage, count, _ in measure.calls] == [("screen", 8), ("confirm", 24), ("extend", 16)]
    assert decision.outcome == PASS
    assert "inconclusive" in decision.why
    assert UNKNOWN in kinds(decision).values()
    left_open = next(one for one in decision.verdicts if one.verdict == UNKNOWN)
    assert "cannot be ruled out" in left_open.note
    assert len(left_open.base_s) == 40
    assert decide_scripted(Scripted(normal(0.2), seed=1), Settings(strict=True)).outcome == NO_VERDICT


def test_only_what_is_still_open_is_extended():
    settings = Settings(tolerance=0.03, extend_pairs=30)
    measure = Scripted(QUIET, shifts={VICTIM: math.log1p(0.028), NAMES[0]: 0.1}, seed=4)
    decide_scripted(measure, dataclasses.replace(settings, floor=0.029))
    assert [names for stage, _, names in measure.calls if stage == "extend"] == [[VICTIM]]


def test_without_an_extension_one_look_decides():
    measure = Scripted(normal(0.2))
    decide_scripted(measure, Settings(extend_pairs=0))
    assert [stage for stage, *_ in measure.calls] == ["screen", "confirm"]


def test_floor_and_tolerance_of_single_benchmarks():
    shifts = dict.fromkeys(NAMES, math.log1p(0.06))
    settings = Settings(floors={"relu_64/*": 0.08, "*/step": 0.07}, tolerances={"relu_64/*": 0.12, "*/step": 0.09})
    found = kinds(decide_scripted(Scripted(QUIET, shifts=shifts), settings))
    spared = {name for name in NAMES if name.startswith("relu_64/") or name.endswith("/step")}
    assert {name for name in NAMES if found[name] == SAME} == spared
    assert {name for name in NAMES if found[name] == SLOWER} == set(NAMES) - spared
    assert settings.floor_of("relu_64/step") == 0.08  # the first that fits
    assert settings.routing_of("tanh_64/forward") == 0.015
    assert Settings(floor=0.01).routing_of(VICTIM) == 0.01  # or a regression could hide below the routing


def test_a_floor_above_the_tolerance_does_not_leave_a_benchmark_open_for_ever():
    decision = decide_scripted(
        Scripted(QUIET, shifts={VICTIM: math.log1p(0.07)}), Settings(floors={VICTIM: 0.1}, strict=True)
    )
    assert (decision.outcome, kinds(decision)[VICTIM]) == (PASS, SAME)


def test_an_accepted_slowdown_passes_with_its_reason():
    settings = Settings(accepted={"relu_64/*": "exact gradients (until 2999-01-01)"})
    decision = decide_scripted(Scripted(QUIET, shifts={VICTIM: 0.1, "tanh_16/step": 0.1}), settings)
    assert of(decision, VICTIM).verdict == ACCEPTED
    assert of(decision, VICTIM).note == "slower, accepted: exact gradients (until 2999-01-01)"
    assert decision.why == "tanh_16/step slower"
    assert decide_scripted(Scripted(QUIET, shifts={VICTIM: 0.1}), settings).outcome == PASS


# ---- what cannot be compared -----------------------------------------------------------------------------------------


def test_a_benchmark_that_only_fails_on_head_fails_the_gate():
    decision = decide_scripted(Scripted(QUIET, failed={"head": {VICTIM: "IndexError: x"}}))
    assert (decision.outcome, decision.why) == (REGRESSION, f"{VICTIM} failed")
    assert of(decision, VICTIM).note == "runs on base, fails on head: IndexError: x"


def test_a_benchmark_that_fails_on_base_is_new_and_one_that_fails_on_both_is_open():
    both = {"base": {NAMES[0]: "no", NAMES[1]: "no"}, "head": {NAMES[1]: "no"}}
    decision = decide_scripted(Scripted(QUIET, failed=both))
    assert decision.outcome == PASS
    assert (kinds(decision)[NAMES[0]], kinds(decision)[NAMES[1]]) == (NEW, UNKNOWN)
    assert decide_scripted(Scripted(QUIET, failed=both), Settings(strict=True)).outcome == NO_VERDICT


def test_removed_and_added_benchmarks_are_named():
    decision = decide_scripted(Scripted(QUIET), base=NAMES[:-1], head=NAMES[1:])
    assert (decision.outcome, decision.why) == (REGRESSION, f"{NAMES[0]} missing")
    assert (kinds(decision)[NAMES[0]], kinds(decision)[NAMES[-1]]) == (MISSING, NEW)
    allowed = decide_scripted(Scripted(QUIET), Settings(allow_removed=True), base=NAMES[:-1], head=NAMES[1:])
    assert (allowed.outcome, kinds(allowed)[NAMES[0]]) == (PASS, ACCEPTED)


def test_every_benchmark_gets_exactly_one_verdict():
    measure = Scripted(QUIET, failed={"base": {NAMES[3]: "no"}, "head": {NAMES[4]: "no"}}, shifts={NAMES[5]: 0.2})
    decision = decide_scripted(measure, base=NAMES[:-1], head=NAMES[1:])
    assert sorted(one.name for one in decision.verdicts) == sorted(NAMES)


def test_what_no_pair_has_measured_is_open():
    pairs = [make_pair("screen", number, {NAMES[0]: 0.0, CONTROL: 0.0}) for number in range(8)]
    decision = decide(Settings(), pairs, NAMES[:2], NAMES[:2], {})
    assert of(decision, NAMES[1]).note == "no pair has measured it"
    assert decide(Settings(strict=True), pairs, NAMES[:2], NAMES[:2], {}).outcome == NO_VERDICT


def test_nothing_measured_is_no_verdict():
    assert decide(Settings(), [], NAMES, NAMES, {}).outcome == NO_VERDICT
    failed = {side: dict.fromkeys(NAMES, "no") for side in ("base", "head")}
    decision = decide_scripted(Scripted(QUIET, failed=failed))
    assert (decision.outcome, decision.why) == (NO_VERDICT, "nothing could be compared")
    assert all(math.isnan(one) for one in decision.detectable)


def test_what_is_new_is_counted_and_the_machine_is_not_blamed_for_it():
    decision = decide(Settings(), [], [], NAMES[:2], {})
    assert (decision.outcome, decision.why) == (NO_VERDICT, "nothing could be compared: 2 benchmarks are new")
    assert decide(Settings(), [], [], NAMES[:1], {}).why == "nothing could be compared: 1 benchmark is new"
    died = [make_pair("screen", 0, {})]
    assert decide(Settings(), died, [], NAMES[:1], {}).why == "nothing could be compared: 1 benchmark is new"


def test_benchmarks_without_a_control_get_no_verdict():
    pairs = [make_pair("screen", number, {NAMES[0]: 0.0}) for number in range(8)]
    decision = decide(Settings(), pairs, NAMES[:1], NAMES[:1], {})
    assert decision.outcome == NO_VERDICT
    assert "the machine is not quiet" in decision.why


# ---- the machine -----------------------------------------------------------------------------------------------------


def test_a_control_that_differs_withholds_the_verdict():
    decision = decide_scripted(Scripted(QUIET, shifts={CONTROL: 0.04, VICTIM: 0.1}))
    assert decision.outcome == NO_VERDICT
    assert "the machine is not quiet" in decision.why
    ratio, low, high = decision.control
    assert low < math.exp(0.04) < high
    assert ratio == pytest.approx(math.exp(0.04), abs=0.01)
    assert decide_scripted(Scripted(QUIET, shifts={CONTROL: -0.04})).outcome == NO_VERDICT


def test_what_is_broken_fails_on_any_machine():
    decision = decide_scripted(Scripted(QUIET, shifts={CONTROL: 0.04, NAMES[0]: 0.1}, failed={"head": {VICTIM: "no"}}))
    assert (decision.outcome, decision.why) == (REGRESSION, f"{VICTIM} failed")


def test_a_tiny_tilt_of_the_control_is_not_held_against_the_machine():
    assert decide_scripted(Scripted(normal(0.001), shifts={CONTROL: 0.005})).outcome == PASS


def test_the_detectable_slowdown_grows_with_the_noise():
    found = [decide_scripted(Scripted(normal(spread), seed=3)).detectable for spread in (0.001, 0.01, 0.03, 0.1)]
    assert [typical for typical, _ in found] == sorted(typical for typical, _ in found)
    assert all(typical <= worst for typical, worst in found)
    assert found[0][0] == pytest.approx(0.02, abs=0.002)  # without noise the floor is what can be detected


def test_a_gate_that_could_never_fail_is_refused_before_anything_runs():
    measure = Scripted(QUIET)
    with pytest.raises(GateError, match="could never fail; ask for more pairs or a larger alpha"):
        decide_scripted(measure, Settings(confirm_pairs=7))
    assert measure.calls == []
    check_settings(Settings(confirm_pairs=12, extend_pairs=0), 12)
    with pytest.raises(GateError, match="11 pairs"):
        check_settings(Settings(confirm_pairs=11), 12)
    check_seeds(Settings(), 12, 4)
    with pytest.raises(GateError, match=r"8 seeds .* ask for more seeds"):
        check_seeds(Settings(), 8, 1)


@pytest.mark.parametrize("pairs", range(8, 14))
def test_settings_that_are_let_through_can_fail(pairs):
    settings = Settings(confirm_pairs=pairs, extend_pairs=0)
    try:
        check_settings(settings, len(NAMES))
    except GateError:
        return
    assert decide_scripted(Scripted(QUIET, shifts=dict.fromkeys(NAMES, 0.3)), settings).outcome == REGRESSION
    assert decide_scripted(Scripted(QUIET, shifts={VICTIM: 0.3}), settings).outcome == REGRESSION


# ---- symmetry --------------------------------------------------------------------------------------------------------


def swapped(pair):
    blocks = {name: [[row[1], row[0], *row[2:]] for row in rows] for name, rows in pair.blocks.items()}
    return dataclasses.replace(pair, blocks=blocks)


@pytest.mark.parametrize("seed", range(3))
def test_swapping_the_sides_inverts_every_ratio(seed):
    pairs = Scripted(normal(0.02), seed, shifts={VICTIM: 0.05})("screen", 8, BENCHMARKS)
    one, other = (decide(Settings(), some, NAMES, NAMES, {}) for some in (pairs, [swapped(p) for p in pairs]))
    for name in NAMES:
        a, b = of(one, name), of(other, name)
        assert (a.ratio, a.low, a.high) == pytest.approx((1 / b.ratio, 1 / b.high, 1 / b.low))
        assert a.base_s == b.head_s
    assert one.control == pytest.approx([1 / value for value in (other.control[0], other.control[2], other.control[1])])


def test_slower_one_way_is_faster_the_other():
    measure = Scripted(QUIET, shifts={VICTIM: 0.1})
    pairs = measure("screen", 8, BENCHMARKS) + measure("confirm", 24, BENCHMARKS)
    assert kinds(decide(Settings(), pairs, NAMES, NAMES, {}))[VICTIM] == SLOWER
    assert kinds(decide(Settings(), [swapped(pair) for pair in pairs], NAMES, NAMES, {}))[VICTIM] == FASTER


# ---- how often the whole rule errs -----------------------------------------------------------------------------------


GATES = 120


def share_failing(settings, noise, shifts=None, gates=GATES):
    """How many of simulated gates fail, and how many of these name the shifted benchmarks alone."""
    failed, right = 0, 0
    for seed in range(gates):
        decision = decide_scripted(Scripted(noise, seed, shifts), settings)
        slower = {one.name for one in decision.verdicts if one.verdict == SLOWER}
        failed += bool(slower)
        right += slower == set(shifts or {})
    return failed, right


@pytest.fixture
def fewer_flips(monkeypatch):
    """1,000 sign patterns instead of 20,000: an alpha of 0.1 is as well attained, twenty times as fast."""
    import bench.gate.decision
    from bench.statistics.paired import sign_flip_max_t

    monkeypatch.setattr(bench.gate.decision, "sign_flip_max_t", lambda d: sign_flip_max_t(d, flips=1_000))


# No floor and no routing threshold: every benchmark is tested, every look is taken, and nothing but the test protects.
NAKED = Settings(alpha=0.1, floor=0.0, routing=0.0, tolerance=0.001, confirm_pairs=16, extend_pairs=10)


@pytest.mark.parametrize("noise", NOISES)
def test_false_alarms_stay_within_alpha_without_any_help_from_the_floor(noise, fewer_flips):
    failed, _ = share_failing(NAKED, NOISES[noise](0.05))
    assert failed <= scipy.stats.binom.ppf(0.999, GATES, NAKED.alpha)
    assert failed > 0  # or the test would pass a gate that never fails


def test_drift_without_coin_flips_would_be_taken_for_a_slowdown(fewer_flips):
    """The flips of order are what protects: the same drift, always against the head, fails nearly every gate."""
    failed, _ = share_failing(NAKED, drifting(0.05, flip=False), gates=20)
    assert failed >= 19


@pytest.mark.parametrize("noise", NOISES)
def test_with_its_own_settings_identical_code_does_not_fail(noise, fewer_flips):
    failed, _ = share_failing(Settings(), NOISES[noise](0.02), gates=50)
    assert failed <= scipy.stats.binom.ppf(0.999, 50, Settings().alpha)


def test_power_grows_with_the_slowdown_and_only_the_slower_one_is_named(fewer_flips):
    noise, gates = normal(0.02), 40
    found = [share_failing(Settings(), noise, {VICTIM: math.log1p(size)}, gates) for size in (0.01, 0.02, 0.03, 0.05)]
    powers = [right for _, right in found]
    assert powers == sorted(powers)
    assert powers[0] <= 3
    assert powers[-1] >= 38
    assert all(failed - right <= 3 for failed, right in found)
