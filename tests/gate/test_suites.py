"""What the sides run: phases of trials in any order, tests as pytest collects them; and trainings on both sides."""

import random
import sys
from pathlib import Path

import pytest

from bench.errors import GateError, LaunchError
from bench.gate.pairs import Benchmark
from bench.gate.sides.channel import CONTROL
from bench.gate.suites import PytestSuite, TrialSuite, train_both
from bench.gate.trees import Trees

SIDE = Path(__file__).resolve().parents[1] / "fakes" / "scripted_side.py"
NAMES = list("abcdef")
TESTS = "def test_one(benchmark): pass\ndef test_two(benchmark): pass\ndef test_plain(): pass\n"


@pytest.fixture
def trees(tmp_path):
    for name in ("tree/base/tests", "tree/head/tests", "logs"):
        (tmp_path / name).mkdir(parents=True)
    return Trees(tmp_path, tmp_path, {}, False, dict.fromkeys(("base", "head"), sys.executable))


def test_phases_of_trials_come_in_a_new_order_each_time():
    suite, draw = TrialSuite(), random.Random(0)
    orders = [suite.order(NAMES, draw) for _ in range(20)]
    assert all(sorted(order) == sorted([*NAMES, CONTROL]) for order in orders)
    assert len({tuple(order) for order in orders}) > 15
    told = suite.describe(Path("l"), [Benchmark("a", "step", {"variant": {}})])
    assert told == {"threads": 1, "benchmarks": [{"name": "a", "phase": "step", "trial": {"variant": {}}}]}


def test_tests_stay_in_their_order_and_the_control_comes_anywhere():
    suite, draw = PytestSuite("tests"), random.Random(0)
    orders = [suite.order(NAMES, draw) for _ in range(50)]
    assert all([name for name in order if name != CONTROL] == NAMES for order in orders)
    assert {order.index(CONTROL) for order in orders} == set(range(len(NAMES) + 1))
    told = suite.describe(Path("l"), [Benchmark("tests/a.py::test_a")])
    assert told == {"link": "l", "path": "tests", "benchmarks": ["tests/a.py::test_a"]}


def test_tests_of_both_trees_are_collected_and_what_cannot_be_is_noted(trees):
    (trees.path("base") / "tests" / "test_a.py").write_text(TESTS)
    (trees.path("head") / "tests" / "test_a.py").write_text(TESTS.replace("test_two", "test_three"))
    for side in ("base", "head"):
        (trees.path(side) / "tests" / "test_broken.py").write_text("import nowhere_at_all\n")
    notes = []
    benchmarks, base = PytestSuite("tests").plan(trees, [], notes)
    assert [one.name for one in benchmarks] == ["tests/test_a.py::test_one", "tests/test_a.py::test_three"]
    assert base == ["tests/test_a.py::test_one", "tests/test_a.py::test_two"]
    assert [note.partition(": ")[2] for note in notes] == [
        f"cannot be collected on {side}: ModuleNotFoundError: No module named 'nowhere_at_all'"
        for side in ("base", "head")
    ]


def test_a_path_that_head_does_not_have_is_refused(trees):
    with pytest.raises(GateError, match="tests/nowhere: not in the head"):
        PytestSuite("tests/nowhere").plan(trees, [], [])


@pytest.fixture
def scripted(trees, monkeypatch):
    monkeypatch.setattr("bench.gate.pairs.START", SIDE)
    return trees


def train(trees, *names):
    trainings = [{"name": name, "seed": seed, "trial": {}} for name in names for seed in range(2)]
    return train_both(trees, trees.folder / "logs", trees.folder, trainings)


def test_both_sides_train_the_same(scripted):
    trained = train(scripted, "a", "b")
    assert trained["base"] == trained["head"]
    assert [(one["name"], one["seed"], one["accuracy"]) for one in trained["base"]] == [
        ("a", 0, 0.9), ("a", 1, 0.91), ("b", 0, 0.9), ("b", 1, 0.91),
    ]  # fmt: skip


def test_a_side_that_dies_or_cannot_be_run_ends_the_trainings(scripted):
    with pytest.raises(LaunchError, match="the head side died while training: out of memory"):
        train(scripted, "a", "dies@head")
    (scripted.path("base") / "broken").touch()
    with pytest.raises(LaunchError, match="the base side cannot be run: ModuleNotFoundError"):
        train(scripted, "a")
