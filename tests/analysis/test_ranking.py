"""The order, the Pareto front, what cannot be told from the best, and times of different places."""

import math

import pandas as pd
import pytest
from fakes.made_run import make_record, make_run, sweep
from fakes.tables import build_table

from bench.analysis.ranking import machine_warning, pareto_front
from bench.analysis.results import Results


@pytest.fixture
def run(tmp_path):
    return sweep(tmp_path / "run")


@pytest.fixture
def table(run):
    return build_table([run])


@pytest.mark.parametrize(
    ("accuracy", "step_ms", "front"),
    [
        ([0.9, 0.8, 0.7], [3.0, 2.0, 1.0], [True, True, True]),
        ([0.9, 0.8, 0.9], [1.0, 2.0, 1.0], [True, False, True]),  # two alike do not beat each other
        ([0.9, 0.9, 0.8], [2.0, 1.0, 1.0], [False, True, False]),
        ([0.9, math.nan, 0.8], [math.nan, 1.0, 2.0], [False, False, True]),
        ([], [], []),
    ],
)
def test_the_front_is_what_nothing_beats_in_both(accuracy, step_ms, front):
    table = pd.DataFrame({"test_accuracy": accuracy, "step_ms": step_ms}, dtype=float)
    found = pareto_front(table)
    assert found.dtype == bool
    assert list(found) == front


def test_the_ranking(tmp_path):
    records = [
        make_record({"activation": "tanh"}, (0.96, 0.95, 0.955), (0.9e-3, 0.95e-3)),
        make_record({"activation": "relu"}, (0.98, 0.97, 0.99), (1.0e-3, 1.1e-3)),
        make_record({"activation": "elu"}, (0.985, 0.965, 0.985), (1.2e-3, 1.3e-3)),
        make_record({"init": "zeros"}, (0.1, 0.1, 0.1), (0.5e-3, 0.5e-3)),
        make_record({"activation": "gelu"}, status="failed", reason="x"),
        make_record({"activation": "silu"}, (0.98, 0.98, 0.98), (0.8e-3, 0.81e-3)),
    ]
    run = make_run(tmp_path / "r", records, {"activation": ["tanh", "relu", "elu", "gelu", "silu"]})
    ranked = Results.of(run).ranked
    # Equal accuracies: the faster first.
    assert list(ranked["name"]) == ["silu", "relu", "elu", "tanh", "zeros"]
    assert list(ranked["rank"]) == [1, 2, 3, 4, 5]
    assert list(ranked["learned"]) == [True, True, True, True, False]
    # zeros is the fastest, and no use; tanh and the others lose to silu in both.
    assert list(ranked["pareto"]) == [True, False, False, False, False]
    # By hand: the differences to silu are (0, 0.01, -0.01), (-0.005, 0.015, -0.005), (0.02, 0.03, 0.025), 0.88.
    assert list(ranked["within_noise"]) == [True, True, True, False, False]
    assert {str(ranked[column].dtype) for column in ("learned", "pareto", "within_noise")} == {"bool"}


def test_two_runs_of_the_same_trials_keep_their_own_numbers(tmp_path):
    good = make_run(tmp_path / "good", [make_record({}, (0.98, 0.981, 0.979), (1e-3,))], {})
    bad = make_run(tmp_path / "bad", [make_record({}, (0.90, 0.901, 0.902), (1e-3,))], {})
    for runs in ([good, bad], [bad, good]):
        ranked = Results.of(*runs).ranked
        assert list(ranked["run"]) == ["good", "bad"]
        assert list(ranked["within_noise"]) == [True, False]


def test_seeds_are_paired_by_number(tmp_path):
    """Seed 2 of both is poor; the second has lost seed 0. By place, the difference would not be told from 0."""
    whole = make_record({"activation": "relu"}, (0.90, 0.80, 0.70))
    part = make_record({"activation": "tanh"}, (0.79, 0.78, 0.685))
    part.seeds.pop(0)
    run = make_run(tmp_path / "r", [whole, part], {"activation": ["relu", "tanh"]})
    ranked = Results.of(run).ranked
    by_name = dict(zip(ranked["name"], ranked["within_noise"], strict=True))
    assert by_name == {"relu": True, "tanh": True}  # two pairs: 0.02 and 0.015, t(1) is 12.7
    assert list(ranked["name"]) == ["relu", "tanh"]


def test_a_ranking_without_accuracies_is_by_time(tmp_path):
    synthetic = {"data": "synthetic"}
    records = [
        make_record(synthetic | {"activation": "relu"}, (), (2e-3, 2.1e-3)),
        make_record(synthetic | {"activation": "tanh"}, (), (1e-3, 1.1e-3)),
    ]
    run = make_run(tmp_path / "r", records, {"activation": ["relu", "tanh"]})
    ranked = Results.of(run).ranked
    assert list(ranked["activation"]) == ["tanh", "relu"]
    assert not ranked[["within_noise", "pareto", "learned"]].any(axis=None)


def test_times_of_different_places_are_pointed_out(tmp_path, run, table):
    assert machine_warning(table) is None
    assert machine_warning(build_table([])) is None
    other = sweep(tmp_path / "other", machine={"id": "m2"})
    assert "machine m1, m2" in machine_warning(build_table([run, other]))
    newer = sweep(tmp_path / "newer", machine={"torch": "2.14.0"})
    warning = machine_warning(build_table([run, newer]))
    assert "torch 2.13.0, 2.14.0" in warning
    assert "machine m1" not in warning
    # What was not timed there does not count.
    untimed = make_run(tmp_path / "u", [make_record({}, (0.9,))], {}, machine={"id": "m3"})
    assert machine_warning(build_table([run, untimed])) is None


def test_thread_counts_of_different_runs_are_pointed_out(tmp_path, run):
    threads = [make_record({"threads": n}, (0.9,), (1e-3, 1e-3)) for n in (1, 2)]
    one = make_run(tmp_path / "axis", threads, {"threads": [1, 2]})
    assert machine_warning(build_table([one])) is None  # asked for, and in the trials' names
    four = make_run(tmp_path / "four", [make_record({"threads": 4}, (0.9,), (1e-3, 1e-3))], {})
    assert "threads 1, 4" in machine_warning(build_table([run, four]))
