"""A gate read from its folder decides as it did; a damaged or an interrupted one is what it is."""

import dataclasses
import json
import random

import pytest
from fakes.scripted_pairs import BENCHMARKS, NAMES, Scripted, made_training, made_trainings, make_pair, normal

from bench.errors import GateError, UserError
from bench.gate.decision import NO_VERDICT, PASS, REGRESSION, run_gate
from bench.gate.header import make_header, write_gate_json
from bench.gate.settings import Settings
from bench.gate.sides.channel import CONTROL
from bench.gate.stored import Gate, Store, read_gate
from bench.records.files import write_json
from bench.verdicts.verdict import SAME, UNKNOWN

VICTIM = "relu_64/step"
ABOUT = {
    "base": "b" * 40, "head": "a" * 40, "dirty": False, "machine": {}, "started_s": 0.0, "seconds": 1.0, "notes": [],
    "seed": 0, "benchmarks": [],
}  # fmt: skip


def test_the_same_file_gives_the_same_decision(tmp_path):
    settings = Settings(floors={"a*": 0.1}, accepted={"b": "c"}, alpha=0.02, strict=True)
    pairs = run_gate(settings, BENCHMARKS, Scripted(normal(0.03), shifts={VICTIM: 0.06}))
    trained = {side: [made_training("one", seed, 0.9)] for side in ("base", "head") for seed in range(2)}
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
    trained = {side: [made_training("one", seed, 0.9) for seed in range(2)] for side in ("base", "head")}
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


# ---- interrupted gates ---------------------------------------------------------------------------------------------


def interrupted(folder, pairs=(), rounds=(), names=(VICTIM,)):
    """What is in the folder of a gate that was ended after these pairs and rounds of trainings."""
    store = Store(folder)
    store.begin(Gate(Settings(), list(names), list(names), [], {}, ABOUT))
    for pair in pairs:
        store.append_pair(pair)
    for trained in rounds:
        store.append_trained(trained)
    return read_gate(folder)


def test_an_interrupted_gate_is_judged_by_what_was_measured_and_never_passes(tmp_path):
    pairs = [make_pair("screen", number, {VICTIM: 0.0, CONTROL: 0.0}) for number in range(8)]
    stored = interrupted(tmp_path, pairs)
    assert stored.pairs == pairs
    decision = stored.decide()
    assert (decision.outcome, decision.why) == (NO_VERDICT, "the gate was interrupted after 8 pairs")
    assert decision.verdicts[0].verdict == SAME
    assert make_header(stored, decision)["notes"][-1] == "no verdict is no pass: run it again"


def test_an_interrupted_gate_that_had_seen_enough_fails(tmp_path):
    measured = Scripted(normal(0.001), shifts={VICTIM: 0.1})
    benchmarks = [one for one in BENCHMARKS if one.name == VICTIM]
    pairs = measured("screen", 8, benchmarks) + measured("confirm", 20, benchmarks)
    decision = interrupted(tmp_path, pairs).decide()
    assert decision.outcome == REGRESSION
    assert decision.why == f"{VICTIM} slower; the gate was interrupted after 28 pairs"


def test_before_the_first_pair_nothing_is_known_and_the_machine_is_not_blamed(tmp_path):
    decision = interrupted(tmp_path).decide()
    assert (decision.outcome, decision.why) == (NO_VERDICT, "the gate was interrupted after 0 pairs")


def test_seeds_that_were_trained_before_the_interruption_can_fail_and_cannot_pass(tmp_path):
    pairs = [make_pair("screen", number, {VICTIM: 0.0, CONTROL: 0.0}) for number in range(8)]
    equal, worse = made_trainings([0.0] * 4, seeds=4), made_trainings([0.02] * 12)
    (tmp_path / "equal").mkdir()
    decision = interrupted(tmp_path / "equal", pairs, [equal]).decide()
    assert decision.accuracies[0]["seeds"] == 4
    assert (decision.accuracies[0]["verdict"], decision.outcome) == (UNKNOWN, NO_VERDICT)
    (tmp_path / "worse").mkdir()
    rounds = [{side: rows[:4] for side, rows in worse.items()}, {side: rows[4:] for side, rows in worse.items()}]
    decision = interrupted(tmp_path / "worse", pairs, rounds).decide()
    assert decision.outcome == REGRESSION
    assert decision.why.startswith("accuracy of one worse; the gate was interrupted")


def test_a_line_that_was_being_written_is_left_out_and_a_damaged_one_is_refused(tmp_path):
    pairs = [make_pair("screen", number, {VICTIM: 0.0, CONTROL: 0.0}) for number in range(2)]
    interrupted(tmp_path, pairs)
    whole = (tmp_path / "pairs.jsonl").read_bytes()
    (tmp_path / "pairs.jsonl").write_bytes(whole[:-40])
    assert read_gate(tmp_path).pairs == pairs[:1]
    for damaged in (b'{"stage": 3}\n' + whole, b"[]\n", b'{"a\n' + whole):
        (tmp_path / "pairs.jsonl").write_bytes(damaged)
        with pytest.raises(UserError) as caught:
            read_gate(tmp_path)
        assert "\n" not in str(caught.value)


def test_when_it_is_over_the_whole_gate_is_what_counts(tmp_path):
    pairs = [make_pair("screen", number, {VICTIM: 0.0, CONTROL: 0.0}) for number in range(8)]
    begun = interrupted(tmp_path, pairs)
    done = dataclasses.replace(begun, about={**ABOUT, "seconds": 3.0})
    Store(tmp_path).end(done)
    assert read_gate(tmp_path) == done
    assert read_gate(tmp_path).decide().outcome == PASS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gate.json", "pairs.jsonl"]


def test_a_folder_that_is_no_gates_is_refused(tmp_path):
    with pytest.raises(GateError, match="not a gate's file"):
        read_gate(tmp_path)
