"""Instruction counts of both sides: what is said of them, and what of a side that cannot count."""

import sys
from pathlib import Path

from bench.experiment.file import read_experiment
from bench.gate.instructions import choose, count_instructions, describe_instructions
from bench.gate.plan import list_benchmarks
from bench.gate.trees import Trees
from bench.verdicts.verdict import SLOWER, Verdict

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = list_benchmarks(read_experiment(ROOT / "experiments" / "gate.toml"))


def row(base, head, reason="", base_functions=(), head_functions=()):
    return {
        "name": "a/forward",
        "base": {"counts": base, "functions": list(base_functions), "reason": ""},
        "head": {"counts": head, "functions": list(head_functions), "reason": reason},
    }


def line(one, verdicts=()):
    (text,) = describe_instructions([one], verdicts)
    return text


def test_few_more_instructions_are_said_and_not_warned_of():
    assert line(row([1e6, 1.0001e6], [1.01e6])) == "instructions of a/forward: 1.000 to 1.010 million, +1.00%"


def test_many_more_are_warned_of_with_the_functions_that_grew():
    base = [["x.cpp:at::native::clone(at::Tensor const&)", 10.0], ["???:0x0000beef", 5.0], ["m.c:_int_free", 50.0]]
    head = [["x.cpp:at::native::clone(at::Tensor const&)", 9e4], ["???:0x0000beef", 9e9], ["m.c:_int_free", 60.0]]
    text = line(row([1e6], [1.1e6], base_functions=base, head_functions=head))
    assert text.startswith("warning: instructions of a/forward: 1.000 to 1.100 million, +10.00%")
    assert text.endswith("most of it in at::native::clone, _int_free")


def test_an_increase_within_the_spread_of_repeats_is_none():
    assert not line(row([1e6, 1.02e6], [1.05e6])).startswith("warning")


def test_a_slowdown_without_more_instructions_is_wondered_at():
    slower = [Verdict("a/forward", SLOWER)]
    assert line(row([1e6], [1.0005e6]), slower).endswith("slower with the same work: memory, threads or layout?")
    assert line(row([1e6], [1.0005e6])).endswith("+0.05%")


def test_what_could_not_be_counted_says_why():
    text = line(row([1e6], [], reason="OSError: no valgrind for this machine"))
    assert text == "instructions of a/forward: not counted on head: OSError: no valgrind for this machine"


def test_one_benchmark_a_phase_is_counted():
    assert [one.phase for one in choose(BENCHMARKS)] == ["forward", "backward", "step"]


COUNTER = """
import json, os, sys
task = json.loads(sys.stdin.readline())
head = os.environ["PYTHONPATH"].endswith("/r")
for one in task["benchmarks"][: 1 if head else 2]:
    counts = [1e6 * (1 + head / 10)] * task["repeats"]
    row = {"counts": counts, "functions": [["a:b", 1.0]], "reason": ""}
    print(json.dumps({"kind": "counted", "name": one["name"], **row}))
if head:
    sys.exit("out of memory")
print(json.dumps({"kind": "done"}))
"""


def test_counts_of_both_sides_meet_and_a_side_that_dies_says_so(tmp_path, monkeypatch):
    """The protocol, with a scripted counter: callgrind itself takes minutes."""
    (tmp_path / "counter.py").write_text(COUNTER)
    monkeypatch.setattr("bench.gate.pairs.START", tmp_path / "counter.py")
    trees = Trees(tmp_path, tmp_path, {}, False, dict.fromkeys(("base", "head"), sys.executable))
    rows = count_instructions(trees, BENCHMARKS[:2], tmp_path)
    first, second = describe_instructions(rows, [])
    assert first.startswith(f"warning: instructions of {BENCHMARKS[0].name}: 1.000 to 1.100 million, +10.00%")
    assert second == f"instructions of {BENCHMARKS[1].name}: not counted on head: out of memory"
