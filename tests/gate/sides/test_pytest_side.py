"""The side that runs tests with the `benchmark` fixture, as a real process on a small tree."""

import pytest
from fakes.judged_side import Side

from bench.gate.sides import pytest_side

TESTS = """
import random, sys
from pathlib import Path

def test_plain(): raise AssertionError("never run")

def test_sum(benchmark): assert benchmark(sum, [1, 2]) == 3

def test_wrong(benchmark): assert benchmark(sum, [1, 2]) == 4

def test_raises(benchmark): benchmark(lambda: [][0])

def test_forgets(benchmark): pass

def test_twice(benchmark):
    benchmark(sum, [1])
    benchmark(sum, [1])

def test_draw(benchmark):
    Path(__file__).with_name("drawn").open("a").write(f"{random.random()}\\n")
    benchmark(sum, [1])
"""


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "tree" / "tests").mkdir(parents=True)
    (tmp_path / "tree" / "tests" / "test_a.py").write_text(TESTS)
    return tmp_path / "tree"


def side_of(tree, kind, *benchmarks):
    task = {
        "kind": kind, "tree": str(tree), "link": str(tree), "path": "tests", "core": None, "seed": 5,
        "benchmarks": [f"tests/test_a.py::{name}" for name in benchmarks],
    }  # fmt: skip
    return Side("pytest_side", task, tree=tree)


def run(side, name, following=None):
    """Runs one test to its end as a pair does; returns what it answered."""
    name = f"tests/test_a.py::{name}"
    answers = [side.ask("warm_up", name, following=following)]
    if answers[-1]["kind"] == "warm":
        answers.append(side.ask("block", name, iterations=2))
        answers.append(side.ask("end", name))
    return answers


def test_only_tests_with_the_fixture_are_collected(tree):
    (tree / "tests" / "test_broken.py").write_text("import nowhere_at_all\n")
    with side_of(tree, "collect") as side:
        collected = side.hear()
        assert [name.rpartition("::")[2] for name in collected["names"]] == [
            "test_sum", "test_wrong", "test_raises", "test_forgets", "test_twice", "test_draw",
        ]  # fmt: skip
        assert collected["errors"] == {"tests/test_broken.py": "ModuleNotFoundError: No module named 'nowhere_at_all'"}
        assert side.end()[0] == 0


def test_a_test_is_timed_when_it_is_told_to_and_its_failure_is_its_answer(tree):
    names = ["test_sum", "test_wrong", "test_raises", "test_forgets", "test_twice", "test_draw"]
    with side_of(tree, "time", *names, "test_absent") as side:
        ready = side.hear()
        assert ready == {"kind": "ready", "failed": {"tests/test_a.py::test_absent": "no such test was collected"}}
        assert [answer["kind"] for answer in run(side, "test_sum")] == ["warm", "block", "ended"]
        wrong = run(side, "test_wrong")
        assert [answer["kind"] for answer in wrong] == ["warm", "block", "failed"]
        assert wrong[-1]["reason"].startswith("AssertionError: assert 3 == 4")
        assert run(side, "test_raises") == [{"kind": "failed", "reason": "IndexError: list index out of range"}]
        assert "without running `benchmark`" in run(side, "test_forgets")[0]["reason"]
        assert "it was used before in this test" in run(side, "test_twice")[-1]["reason"]
        side.tell({"kind": "warm_up", "benchmark": "control", "following": None})
        assert side.hear()["kind"] == "warm"
        assert side.ask("end", "control") == {"kind": "ended"}
        run(side, "test_draw")
        side.end()
    with side_of(tree, "time", "test_draw") as side:
        side.hear()
        run(side, "test_draw")
        side.end()
    first, second = (tree / "tests" / "drawn").read_text().split()
    assert first == second  # inputs are drawn from the pair's seed and the test's name


def test_plugins_that_split_trace_or_end_tests_are_kept_quiet(monkeypatch):
    class Entry:
        def __init__(self, name):
            self.name = name

    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", raising=False)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [Entry("xdist"), Entry("pytest_cov")])
    given = pytest_side.arguments({"link": "/side/l", "path": "tests"})
    assert {"-n0", "--dist=no", "--no-cov", "--maxfail=0", "--rootdir=/side/l"} <= set(given)
    assert given[-1] == "/side/l/tests"
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    assert "-n0" not in pytest_side.arguments({"link": "/side/l", "path": "tests"})
