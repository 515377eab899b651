"""The search for how much extra work slows a benchmark by a share; with real work it runs in the gate's self-test."""

import math

import pytest
from fakes.judged_side import TRIAL, Side

from bench.gate.sides.injection_side import LARGEST, search
from lenet import networks


@pytest.fixture
def extra(monkeypatch):
    """What a changed tree holds: how much extra work its networks do."""
    work = {"amount": 0}
    monkeypatch.setattr(networks, "_extra", work, raising=False)
    return work


@pytest.mark.parametrize("each", [1e-4, 1e-3, 5e-3])
def test_the_amount_is_found_that_slows_by_the_share(extra, each):
    found = search(lambda: 1.0 + each * extra["amount"], math.log1p(0.05))
    assert found["amount"] == pytest.approx(0.05 / each, rel=0.15, abs=1)
    assert found["share"] == pytest.approx(each * found["amount"])


def test_work_that_costs_nothing_is_not_sought_for_ever(extra):
    found = search(lambda: 1.0, math.log1p(0.05))
    assert 1 <= found["amount"] <= LARGEST
    assert found["share"] == 0.0


def test_one_piece_of_work_that_is_too_much_is_the_least_there_is(extra):
    found = search(lambda: 1.0 + extra["amount"], math.log1p(0.05))
    assert found == {"amount": 1, "share": pytest.approx(1.0)}


def test_a_tree_that_was_not_changed_is_said_to_be_broken():
    with Side("injection_side", {"trial": TRIAL, "phase": "forward", "share": 0.05, "block_s": 0.001}) as side:
        broken = side.hear()
        assert broken["kind"] == "broken"
        assert "has no attribute '_extra'" in broken["reason"]
        assert side.end()[0] == 0
