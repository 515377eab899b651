"""A gate in words: its header says what was compared, how well, and what to do next."""

import json
import math

import pytest
from fakes.scripted_pairs import BENCHMARKS, NAMES, Scripted, normal

from bench.gate.decision import run_gate
from bench.gate.header import make_header, write_gate_files, write_gate_json
from bench.gate.settings import Settings
from bench.gate.stored import Gate, read_gate

VICTIM = "relu_64/step"
ABOUT = {
    "base": "b" * 40, "head": "a" * 40, "dirty": False, "machine": {"cpu": "one"}, "started_s": 0.0, "seconds": 90.0,
    "notes": ["a note"], "seed": 0, "benchmarks": [],
}  # fmt: skip


def made(shifts=None, about=None, names=NAMES):
    settings = Settings()
    measured = [one for one in BENCHMARKS if one.name in names]
    pairs = run_gate(settings, measured, Scripted(normal(0.001), shifts=shifts)) if measured else []
    gate = Gate(settings, list(names), NAMES, pairs, {}, {**ABOUT, **(about or {})})
    decision = gate.decide()
    return gate, decision, make_header(gate, decision)


def test_a_pass_says_what_was_compared_and_how_fine_the_gate_saw():
    _, _, header = made()
    assert header["title"] == "lenet-bench gate: PASS"
    assert header["summary"] == "PASS: 12 compared, none slower"
    assert (header["base"], header["head"]) == ("b" * 12, "a" * 12)
    assert header["settings"]["pairs"] == "8 screen"
    assert header["settings"]["time"] == "1.5 min"
    first, resolution, control = header["notes"]
    assert first == "a note"
    assert resolution.startswith("with this noise a slowdown of 2.")
    assert resolution.endswith("fails in 9 runs of 10")
    assert control.startswith("control, the same on both sides: ")


def test_a_failure_says_how_to_measure_again_and_how_to_accept():
    _, _, header = made({VICTIM: math.log1p(0.1)}, {"dirty": True, "pytest": "tests/a b"})
    assert header["summary"] == f"FAIL: {VICTIM} slower"
    assert header["head"] == "a" * 12 + " and the changes in the working tree"
    again, accept = header["notes"][-2:]
    assert again == (
        f"to measure only this one again: lenet-bench gate --base {'b' * 12} --head . --pytest 'tests/a b' "
        f"--only {VICTIM}"
    )
    assert f'benchmark = "{VICTIM}"' in accept


@pytest.mark.parametrize(
    ("names", "about", "last"),
    [
        (NAMES, {"interrupted": True}, "no verdict is no pass: run it again"),
        ([], {}, "a note"),
        ([], {"interrupted": True}, "no verdict is no pass: run it again"),
    ],
)
def test_the_machine_is_not_blamed_where_it_is_not_at_fault(names, about, last):
    assert made(names=names, about=about)[2]["notes"][-1] == last


def test_a_tilted_control_is_the_machines():
    _, _, header = made({"control": 0.05})
    assert header["notes"][-1] == "no verdict is no pass: run it again, on a machine that does nothing else"


def test_its_json_is_read_back_and_decides_the_same(tmp_path):
    gate, decision, header = made({VICTIM: math.log1p(0.1)})
    write_gate_files(gate, decision, header, {"json": tmp_path / "gate.json", "markdown": tmp_path / "gate.md"})
    text = (tmp_path / "gate.json").read_text()
    assert text == write_gate_json(gate, decision)
    assert json.loads(text)["decision"]["outcome"] == "regression"
    assert repr(read_gate(tmp_path).decide()) == repr(decision)
    assert header["summary"] in (tmp_path / "gate.md").read_text()
