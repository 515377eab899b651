"""Pairs of real processes that speak the protocol: what is measured, and what of sides that fail, die or hang."""

import random
import sys
from pathlib import Path

import pytest

from bench.errors import LaunchError
from bench.gate.pairs import FEWEST_ALTERNATIONS, START, Benchmark, PairSource, side_command, side_environment
from bench.gate.settings import Settings
from bench.gate.sides.channel import CONTROL
from bench.gate.suites import TrialSuite
from bench.gate.trees import Trees

SIDE = Path(__file__).resolve().parents[1] / "fakes" / "scripted_side.py"


@pytest.fixture
def trees(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.gate.pairs.START", SIDE)
    for name in ("tree/base", "tree/head", "logs"):
        (tmp_path / name).mkdir(parents=True)
    return Trees(tmp_path, tmp_path, {}, False, dict.fromkeys(("base", "head"), sys.executable))


def measure(trees, *names, limit_s=60.0, seed=0):
    settings = Settings(alternations=7, block_ms=10.0, limit_s=limit_s)
    source = PairSource(trees, trees.folder / "logs", TrialSuite(), settings, random.Random(seed))
    return source.measure("screen", 3, [Benchmark(name) for name in names])


def test_a_pair_has_blocks_of_both_sides_and_of_the_control(trees):
    pair = measure(trees, "one", "two")
    assert (pair.stage, pair.number) == ("screen", 3)
    assert pair.blocks.keys() == {"one", "two", CONTROL}
    assert set(pair.iterations.values()) == {10}  # of a millisecond each, in blocks of ten
    for blocks in pair.blocks.values():
        assert len(blocks) == 7
        assert all(block[:4] == pytest.approx([0.01, 0.02, 0.005, 0.01]) for block in blocks)
    orders = {block[4] for blocks in pair.blocks.values() for block in blocks}
    assert orders == {0.0, 1.0}
    assert pair.failed == {"base": {}, "head": {}}
    assert pair.died == []
    assert list((trees.folder / "logs").iterdir()) == []


def test_sides_links_and_seeds_are_drawn(trees):
    pairs = [measure(trees, "one", seed=seed) for seed in range(6)]
    assert {pair.first for pair in pairs} == {pair.left for pair in pairs} == {"base", "head"}
    assert len({pair.hash_seed for pair in pairs}) == 6


def test_what_is_longer_than_a_block_runs_once_a_block_and_in_fewer_blocks(trees):
    pair = measure(trees, "long", "one")
    assert pair.iterations["long"] == 1
    assert len(pair.blocks["long"]) == FEWEST_ALTERNATIONS
    assert len(pair.blocks["one"]) == 7


def test_what_fails_on_a_side_is_known_there_and_the_others_are_measured(trees):
    pair = measure(trees, "fails@head", "unbuildable@head", "fails", "one")
    assert pair.failed["head"] == {
        "fails@head": "IndexError: out of range",
        "unbuildable@head": "KeyError: no",
        "fails": "IndexError: out of range",
    }
    assert pair.failed["base"] == {"fails": "IndexError: out of range"}
    assert pair.blocks.keys() == {"one", CONTROL}


@pytest.mark.parametrize(
    ("name", "dead", "cause"),
    [("dies@head", ["head"], "crashed"), ("dies", ["base", "head"], "crashed"), ("hangs@base", ["base"], "timeout")],
)
def test_a_side_that_dies_or_hangs_ends_the_pair_after_both_were_asked(trees, name, dead, cause):
    pair = measure(trees, name, limit_s=1.0 if cause == "timeout" else 60.0)
    assert sorted(side for side, *_ in pair.died) == dead
    assert {(at, why) for _, at, why, _ in pair.died} == {(name, cause)}
    assert name not in pair.blocks


def test_a_side_that_dies_while_it_builds_is_laid_at_the_benchmarks_door(trees):
    pair = measure(trees, "one", "deadly@base", "two")
    assert [died[:3] for died in pair.died] == [["base", "deadly@base", "crashed"]]
    assert "exit code 3" in pair.died[0][3]


def test_a_side_that_cannot_be_served_ends_the_gate(trees):
    (trees.path("head") / "broken").touch()
    with pytest.raises(LaunchError, match="the head side cannot be run: ModuleNotFoundError: no torch"):
        measure(trees, "one")


def test_the_sides_differ_in_one_letter_of_a_path_and_keep_the_judges_folders_off_theirs(trees, monkeypatch):
    monkeypatch.setattr("bench.gate.pairs.START", START)
    for side in ("base", "head"):
        (trees.path(side) / "src").mkdir()
    base, head = (side_environment(trees.link(side, "base"), 7) for side in ("base", "head"))
    assert {name for name in base if base[name] != head[name]} == {"PYTHONPATH"}
    assert base["PYTHONPATH"] == f"{trees.folder}/l:{trees.folder}/l/src"
    assert head["PYTHONPATH"] == f"{trees.folder}/r:{trees.folder}/r/src"
    assert base["PYTHONHASHSEED"] == "7"
    assert side_command(trees, "head", "channel") == [sys.executable, "-P", str(START), "channel"]
