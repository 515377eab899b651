"""The gate's decision on scripted pairs: what fails, passes or is left open, and how often the whole rule errs."""

import dataclasses
import datetime
import json
import math
import random

import numpy as np
import pytest
import scipy.stats
from fakes.scripted_pairs import BENCHMARKS, NAMES, NOISES, Scripted, drifting, make_pair, normal

from bench.errors import GateError
from bench.gate.accuracy import judge_accuracies, run_trainings
from bench.gate.decision import NO_VERDICT, PASS, REGRESSION, decide, run_gate
from bench.gate.gate import Gate, read_gate
from bench.gate.header import make_header, write_gate_json
from bench.gate.pairs import CONTROL
from bench.gate.settings import Settings, check_seeds, check_settings, read_settings
from bench.records.journal import write_json
from bench.verdicts.verdict import ACCEPTED, FAILED, FASTER, MISSING, NEW, SAME, SLOWER, UNKNOWN

QUIET = normal(0.01)
VICTIM = "relu_64/step"
ABOUT = {
    "base": "b" * 40, "head": "a" * 40, "dirty": False, "machine": {}, "started_s": 0.0, "seconds": 1.0, "notes": [],
    "seed": 0, "benchmarks": [],
}  # fmt: skip


def gate(measure, settings=None, base=NAMES, head=NAMES, trained=None):
    settings = settings or Settings()
    pairs = run_gate(settings, [one for one in BENCHMARKS if one.name in base and one.name in head], measure)
    return decide(settings, pairs, base, head, trained or {})


def kinds(decision):
    return {one.name: one.verdict for one in decision.verdicts}


def of(decision, name):
    return next(one for one in decision.verdicts if one.name == name)


# ---- one gate at a time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_identical_code_passes(seed):
    decision = gate(Scripted(QUIET, seed))
    assert decision.outcome == PASS
    assert set(kinds(decision).values()) == {SAME}
    assert decision.why == "12 compared, none slower"


@pytest.mark.parametrize("slowdown", [0.04, 0.1])
def test_a_slowdown_fails_and_names_only_the_right_benchmark(slowdown):
    decision = gate(Scripted(QUIET, shifts={VICTIM: math.log1p(slowdown)}))
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
    gate(measure)
    assert measure.calls == [("screen", 8, NAMES), ("confirm", 24, [VICTIM])]


def test_a_speedup_passes_and_is_said():
    decision = gate(Scripted(QUIET, shifts={VICTIM: -0.1}))
    assert (decision.outcome, kinds(decision)[VICTIM]) == (PASS, FASTER)


def test_what_is_significant_but_below_the_floor_passes_with_a_note():
    decision = gate(Scripted(normal(0.001), shifts={VICTIM: math.log1p(0.017)}))
    assert decision.outcome == PASS
    assert of(decision, VICTIM).p < 0.001
    assert of(decision, VICTIM).note == "slower by less than the floor of 2.0%"


def test_wide_noise_is_extended_once_and_then_left_open():
    measure = Scripted(normal(0.2), seed=1)
    decision = gate(measure)
    assert [(stage, count) for stage, count, _ in measure.calls] == [("screen", 8), ("confirm", 24), ("extend", 16)]
    assert decision.outcome == PASS
    assert "inconclusive" in decision.why
    assert UNKNOWN in kinds(decision).values()
    left_open = next(one for one in decision.verdicts if one.verdict == UNKNOWN)
    assert "cannot be ruled out" in left_open.note
    assert len(left_open.base_s) == 40
    assert gate(Scripted(normal(0.2), seed=1), Settings(strict=True)).outcome == NO_VERDICT


def test_only_what_is_still_open_is_extended():
    settings = Settings(tolerance=0.03, extend_pairs=30)
    measure = Scripted(QUIET, shifts={VICTIM: math.log1p(0.028), NAMES[0]: 0.1}, seed=4)
    gate(measure, dataclasses.replace(settings, floor=0.029))
    assert [names for stage, _, names in measure.calls if stage == "extend"] == [[VICTIM]]


def test_without_an_extension_one_look_decides():
    measure = Scripted(normal(0.2))
    gate(measure, Settings(extend_pairs=0))
    assert [stage for stage, *_ in measure.calls] == ["screen", "confirm"]


def test_floor_and_tolerance_of_single_benchmarks():
    shifts = dict.fromkeys(NAMES, math.log1p(0.06))
    settings = Settings(floors={"relu_64/*": 0.08, "*/step": 0.07}, tolerances={"relu_64/*": 0.12, "*/step": 0.09})
    found = kinds(gate(Scripted(QUIET, shifts=shifts), settings))
    spared = {name for name in NAMES if name.startswith("relu_64/") or name.endswith("/step")}
    assert {name for name in NAMES if found[name] == SAME} == spared
    assert {name for name in NAMES if found[name] == SLOWER} == set(NAMES) - spared
    assert settings.floor_of("relu_64/step") == 0.08  # the first that fits
    assert settings.routing_of("tanh_64/forward") == 0.015
    assert Settings(floor=0.01).routing_of(VICTIM) == 0.01  # or a regression could hide below the routing


def test_a_floor_above_the_tolerance_does_not_leave_a_benchmark_open_for_ever():
    decision = gate(Scripted(QUIET, shifts={VICTIM: math.log1p(0.07)}), Settings(floors={VICTIM: 0.1}, strict=True))
    assert (decision.outcome, kinds(decision)[VICTIM]) == (PASS, SAME)


def test_an_accepted_slowdown_passes_with_its_reason():
    settings = Settings(accepted={"relu_64/*": "exact gradients (until 2999-01-01)"})
    decision = gate(Scripted(QUIET, shifts={VICTIM: 0.1, "tanh_16/step": 0.1}), settings)
    assert of(decision, VICTIM).verdict == ACCEPTED
    assert of(decision, VICTIM).note == "slower, accepted: exact gradients (until 2999-01-01)"
    assert decision.why == "tanh_16/step slower"
    assert gate(Scripted(QUIET, shifts={VICTIM: 0.1}), settings).outcome == PASS


# ---- what cannot be compared -------------------------------------------------------------------------------------


def test_a_benchmark_that_only_fails_on_head_fails_the_gate():
    decision = gate(Scripted(QUIET, failed={"head": {VICTIM: "IndexError: x"}}))
    assert (decision.outcome, decision.why) == (REGRESSION, f"{VICTIM} failed")
    assert of(decision, VICTIM).note == "runs on base, fails on head: IndexError: x"


def test_a_benchmark_that_fails_on_base_is_new_and_one_that_fails_on_both_is_open():
    both = {"base": {NAMES[0]: "no", NAMES[1]: "no"}, "head": {NAMES[1]: "no"}}
    decision = gate(Scripted(QUIET, failed=both))
    assert decision.outcome == PASS
    assert (kinds(decision)[NAMES[0]], kinds(decision)[NAMES[1]]) == (NEW, UNKNOWN)
    assert gate(Scripted(QUIET, failed=both), Settings(strict=True)).outcome == NO_VERDICT


def test_removed_and_added_benchmarks_are_named():
    decision = gate(Scripted(QUIET), base=NAMES[:-1], head=NAMES[1:])
    assert (decision.outcome, decision.why) == (REGRESSION, f"{NAMES[0]} missing")
    assert (kinds(decision)[NAMES[0]], kinds(decision)[NAMES[-1]]) == (MISSING, NEW)
    allowed = gate(Scripted(QUIET), Settings(allow_removed=True), base=NAMES[:-1], head=NAMES[1:])
    assert (allowed.outcome, kinds(allowed)[NAMES[0]]) == (PASS, ACCEPTED)


def test_every_benchmark_gets_exactly_one_verdict():
    measure = Scripted(QUIET, failed={"base": {NAMES[3]: "no"}, "head": {NAMES[4]: "no"}}, shifts={NAMES[5]: 0.2})
    decision = gate(measure, base=NAMES[:-1], head=NAMES[1:])
    assert sorted(one.name for one in decision.verdicts) == sorted(NAMES)


def test_what_no_pair_has_measured_is_open():
    pairs = [make_pair("screen", number, {NAMES[0]: 0.0, CONTROL: 0.0}) for number in range(8)]
    decision = decide(Settings(), pairs, NAMES[:2], NAMES[:2], {})
    assert of(decision, NAMES[1]).note == "no pair has measured it"
    assert decide(Settings(strict=True), pairs, NAMES[:2], NAMES[:2], {}).outcome == NO_VERDICT


def test_nothing_measured_is_no_verdict():
    assert decide(Settings(), [], NAMES, NAMES, {}).outcome == NO_VERDICT
    failed = {side: dict.fromkeys(NAMES, "no") for side in ("base", "head")}
    decision = gate(Scripted(QUIET, failed=failed))
    assert (decision.outcome, decision.why) == (NO_VERDICT, "nothing could be compared")
    assert all(math.isnan(one) for one in decision.detectable)


# ---- the machine -------------------------------------------------------------------------------------------------


def test_a_control_that_differs_withholds_the_verdict():
    decision = gate(Scripted(QUIET, shifts={CONTROL: 0.04, VICTIM: 0.1}))
    assert decision.outcome == NO_VERDICT
    assert "the machine is not quiet" in decision.why
    ratio, low, high = decision.control
    assert low < math.exp(0.04) < high
    assert ratio == pytest.approx(math.exp(0.04), abs=0.01)
    assert gate(Scripted(QUIET, shifts={CONTROL: -0.04})).outcome == NO_VERDICT


def test_what_is_broken_fails_on_any_machine():
    decision = gate(Scripted(QUIET, shifts={CONTROL: 0.04, NAMES[0]: 0.1}, failed={"head": {VICTIM: "no"}}))
    assert (decision.outcome, decision.why) == (REGRESSION, f"{VICTIM} failed")


def test_a_tiny_tilt_of_the_control_is_not_held_against_the_machine():
    assert gate(Scripted(normal(0.001), shifts={CONTROL: 0.005})).outcome == PASS


def test_the_detectable_slowdown_grows_with_the_noise():
    found = [gate(Scripted(normal(spread), seed=3)).detectable for spread in (0.001, 0.01, 0.03, 0.1)]
    assert [typical for typical, _ in found] == sorted(typical for typical, _ in found)
    assert all(typical <= worst for typical, worst in found)
    assert found[0][0] == pytest.approx(0.02, abs=0.002)  # without noise the floor is what can be detected


def test_a_gate_that_could_never_fail_is_refused_before_anything_runs():
    measure = Scripted(QUIET)
    with pytest.raises(GateError, match="could never fail; ask for more pairs or a larger alpha"):
        gate(measure, Settings(confirm_pairs=7))
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
    assert gate(Scripted(QUIET, shifts=dict.fromkeys(NAMES, 0.3)), settings).outcome == REGRESSION
    assert gate(Scripted(QUIET, shifts={VICTIM: 0.3}), settings).outcome == REGRESSION


# ---- symmetry and storage ----------------------------------------------------------------------------------------


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


def test_the_same_file_gives_the_same_decision(tmp_path):
    settings = Settings(floors={"a*": 0.1}, accepted={"b": "c"}, alpha=0.02, strict=True)
    pairs = run_gate(settings, BENCHMARKS, Scripted(normal(0.03), shifts={VICTIM: 0.06}))
    trained = {side: [entry("one", seed, 0.9)] for side in ("base", "head") for seed in range(2)}
    stored = Gate(settings, NAMES, NAMES, pairs, trained, ABOUT)
    write_json(tmp_path / "gate.json", stored.to_dict())
    for path in (tmp_path, tmp_path / "gate.json"):
        read = read_gate(path)
        assert read == stored
        assert repr(read.decide()) == repr(stored.decide())  # NaN is not equal to itself, its text is


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "{}", '{"schema": 2}', '{"schema": 1, "settings": {"flor": 1}, "pairs": []}', "\xff",
             '{"schema":1,"settings":{},"pairs":[],"base_names":[],"head_names":[],"trained":{},"about":{}}'],
)  # fmt: skip
def test_a_file_that_is_no_gates_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "gate.json").write_text(text, encoding="latin-1")
    with pytest.raises(GateError) as caught:
        read_gate(tmp_path)
    assert "\n" not in str(caught.value)
    assert "gate.json" in str(caught.value)


def places(value, path=()):
    """Every place in nested JSON."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def test_a_damaged_file_is_refused_in_one_line_or_still_decides(tmp_path):
    """One value of a good file replaced by anything: never another error, neither in reading nor in deciding."""
    pairs = [make_pair("screen", n, {VICTIM: 0.0, "control": 0.0}, {"base": {"x": "broke"}}) for n in range(2)]
    trained = {side: [entry("one", seed, 0.9) for seed in range(2)] for side in ("base", "head")}
    stored = Gate(Settings(), [VICTIM], [VICTIM], pairs, trained, ABOUT).to_dict()
    draw = random.Random(3)
    for place in places(json.loads(json.dumps(stored))):
        if place:
            for wrong in draw.sample([None, 3, -1.5, "text", [], {}, [[1]], {"a": 1}, 10**400, 0, True], 4):
                damaged = json.loads(json.dumps(stored))
                inner = damaged
                for key in place[:-1]:
                    inner = inner[key]
                inner[place[-1]] = wrong
                (tmp_path / "gate.json").write_text(json.dumps(damaged))
                try:
                    read = read_gate(tmp_path)
                except GateError:
                    continue
                write_gate_json(read, decision := read.decide())
                make_header(read, decision)


# ---- accuracies --------------------------------------------------------------------------------------------------


def entry(name, seed, accuracy, reason=""):
    return {"name": name, "seed": seed, "accuracy": accuracy, "reason": reason}


def train(drops, seeds=12, name="one", random=None):
    random = random or np.random.default_rng(0)
    base = [0.97 + 0.005 * random.standard_normal() for _ in range(seeds)]
    head = [score - drop for score, drop in zip(base, drops, strict=True)]
    return {side: [entry(name, seed, score) for seed, score in enumerate(scores)]
            for side, scores in (("base", base), ("head", head))}  # fmt: skip


def test_a_drop_of_the_accuracy_beyond_the_margin_fails_the_gate():
    trained = train([0.01] * 12)
    decision = gate(Scripted(QUIET), trained=trained)
    assert (decision.outcome, decision.why) == (REGRESSION, "accuracy of one worse")
    assert decision.accuracies[0]["difference"] == pytest.approx(-0.01)
    assert decision.accuracies[0]["seeds"] == 12


@pytest.mark.parametrize("drops", [[0.0] * 12, [0.004] * 12, [-0.02] * 12, [0.03, -0.03] * 6])
def test_no_drop_a_small_one_or_noise_passes(drops):
    decision = gate(Scripted(QUIET), trained=train(drops))
    assert (decision.outcome, decision.accuracies[0]["verdict"]) == (PASS, SAME)


def test_one_trial_that_learns_worse_is_found_among_others():
    random = np.random.default_rng(1)
    trained = {"base": [], "head": []}
    for name in ("a", "b", "c", "d"):
        for side, rows in train([0.012 if name == "c" else 0.0] * 12, name=name, random=random).items():
            trained[side] += rows
    found = {one["name"]: one["verdict"] for one in judge_accuracies(Settings(), trained)}
    assert found == {"a": SAME, "b": SAME, "c": "worse", "d": SAME}


def test_a_training_that_only_fails_on_head_fails_and_one_that_never_worked_is_open():
    trained = train([0.0] * 12)
    trained["head"][3] = entry("one", 3, None, "diverged")
    decision = gate(Scripted(QUIET), trained=trained)
    assert (decision.outcome, decision.accuracies[0]["verdict"]) == (REGRESSION, FAILED)
    assert decision.accuracies[0]["note"] == "learns on base, fails on head: diverged"
    never = {side: [entry("one", seed, None, "diverged") for seed in range(12)] for side in ("base", "head")}
    decision = gate(Scripted(QUIET), trained=never)
    assert (decision.outcome, decision.accuracies[0]["verdict"]) == (PASS, UNKNOWN)


def test_a_seed_that_base_alone_could_not_train_is_left_out():
    trained = train([0.01] * 12)
    trained["base"][0] = entry("one", 0, None, "diverged")
    assert judge_accuracies(Settings(), trained)[0]["seeds"] == 11


def train_as_scripted(scores):
    """Trains in rounds what `scores` hold already; returns what was trained."""
    asked = [{"name": one["name"], "seed": one["seed"]} for one in scores["base"]]

    def answer(some):
        wanted = {(one["name"], one["seed"]) for one in some}
        return {side: [one for one in rows if (one["name"], one["seed"]) in wanted] for side, rows in scores.items()}

    return run_trainings(Settings(), asked, answer)


def test_what_learns_alike_to_the_bit_is_trained_with_a_third_of_the_seeds():
    assert len(train_as_scripted(train([0.0] * 12))["base"]) == 4
    assert len(train_as_scripted(train([0.01] * 12))["head"]) == 12


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 1.0])
def test_training_no_further_than_needed_changes_no_verdict(share):
    random, found = np.random.default_rng(2), []
    for _ in range(40):
        trained = {"base": [], "head": []}
        for name in ("a", "b", "c"):
            dropped = random.choice([0.0, 0.012, -0.01], size=12, p=[(1 - share) / 2, share, (1 - share) / 2])
            for side, rows in train(dropped, name=name, random=random).items():
                trained[side] += rows
        whole, needed = (
            {one["name"]: one["verdict"] for one in judge_accuracies(Settings(), scores)}
            for scores in (trained, train_as_scripted(trained))
        )
        assert needed == whole
        found += whole.values()
    assert ("worse" in found) == (share > 0.5)
    assert (SAME in found) == (share < 1)


def test_one_trial_that_drops_has_all_of_them_trained_to_the_end():
    trained = train([0.0] * 12)
    for side, rows in train([0.01] * 12, name="two").items():
        trained[side] += rows
    assert {side: len(rows) for side, rows in train_as_scripted(trained).items()} == {"base": 24, "head": 24}


def test_a_failing_training_is_found_in_rounds_too():
    trained = train([0.0] * 12)
    trained["head"][3] = entry("one", 3, None, "diverged")
    assert judge_accuracies(Settings(), train_as_scripted(trained))[0]["verdict"] == FAILED


# ---- settings ----------------------------------------------------------------------------------------------------


def written(tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text)
    return read_settings(tmp_path, {})


def test_settings_come_from_pyproject_and_the_command_line_goes_first(tmp_path):
    text = '[tool.lenet-bench.gate]\nfloor = 0.03\nalpha = 0.02\nfloors = { "*/step" = 0.1 }\nstrict = true\n'
    (tmp_path / "pyproject.toml").write_text(text)
    settings, notes = read_settings(tmp_path, {"floor": 0.04})
    assert settings == Settings(floor=0.04, alpha=0.02, floors={"*/step": 0.1}, strict=True)
    assert notes == []
    assert read_settings(tmp_path / "elsewhere", {}) == (Settings(), [])


def test_an_accepted_entry_counts_until_its_day_is_over(tmp_path):
    today = datetime.date.today()
    table = '[[tool.lenet-bench.gate.accepted]]\nbenchmark = "{}"\nreason = "why"\nuntil = {}\n'
    days = {"now": today, "gone": today - datetime.timedelta(days=1)}
    settings, notes = written(tmp_path, "".join(table.format(*item) for item in days.items()))
    assert settings.accepted == {"now": f"why (until {today})"}
    assert notes == [f"accepted entry for gone is void since {days['gone']}"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("flor = 0.1", "unknown key 'flor'; did you mean 'floor'"),
        ("floor = -0.1", "floor: -0.1 is not a number of at least 0"),
        ("floor = nan", "floor: nan is not"),
        ("floor = inf", "floor: inf is not"),
        ('floor = "2 %"', "floor: '2 %' is not"),
        ("floor = true", "floor: True is not"),
        ("alpha = 0", "alpha: 0 is not a number above 0"),
        ("alpha = 1.5", "alpha: 1.5 is not"),
        ("screen_pairs = 0", "a whole number of at least 1"),
        ("confirm_pairs = 24.5", "a whole number of at least 1"),
        ("alternations = 0", "a whole number of at least 1"),
        ("strict = 1", "strict: 1 is not true or false"),
        ("floors = 0.1", "floors: 0.1 is not a table"),
        ('floors = { "a" = -1 }', "is not a table"),
        ("accepted = 3", "accepted: 3 is not a list of tables"),
        ('accepted = ["x"]', "accepted: 'x' needs benchmark, reason and until"),
        ('accepted = [{ benchmark = "x", reason = "y", until = "2026-01-01" }]', "is not a date"),
        ('accepted = [{ benchmark = "x", reason = "y", until = 2026-01-01T10:00:00 }]', "is not a date"),
        ("floor = ", "not TOML"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(tmp_path, line, message):
    with pytest.raises(GateError) as caught:
        written(tmp_path, f"[tool.lenet-bench.gate]\n{line}\n")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mark_of_the_byte_order_in_front_is_no_setting(tmp_path):
    """Some editors write it, and none shows it."""
    settings, _ = written(tmp_path, "\ufeff[tool.lenet-bench.gate]\nfloor = 0.03\n")
    assert settings.floor == 0.03


@pytest.mark.parametrize("text", ["tool = 3", "[tool]\nlenet-bench = []", "[tool.lenet-bench]\ngate = 3"])
def test_a_table_that_is_none_is_refused(tmp_path, text):
    with pytest.raises(GateError, match="not a table"):
        written(tmp_path, text)


# ---- how often the whole rule errs -------------------------------------------------------------------------------

GATES = 120


def share_failing(settings, noise, shifts=None, gates=GATES):
    """How many of simulated gates fail, and how many of these name the shifted benchmarks alone."""
    failed, right = 0, 0
    for seed in range(gates):
        decision = gate(Scripted(noise, seed, shifts), settings)
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
