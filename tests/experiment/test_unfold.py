"""Unfolding: which trials a file means, their order, their names, and the baseline."""

import itertools
import random

import pytest

from bench.errors import ExperimentError
from bench.experiment.file import check


def knobs(content):
    return [named.trial.knobs() for named in check(content).trials]


def test_axes_multiply():
    rows = knobs({"axes": {"activation": ["relu", "tanh"], "pooling": ["max", "avg", "lp2"]}})
    assert [(row["activation"], row["pooling"]) for row in rows] == list(
        itertools.product(["relu", "tanh"], ["max", "avg", "lp2"])
    )


def test_zip_moves_together():
    rows = knobs({"axes": {"activation": ["relu"]}, "zip": [{"batch_size": [16, 64], "learning_rate": [0.01, 0.04]}]})
    assert [(row["batch_size"], row["learning_rate"]) for row in rows] == [(16, 0.01), (64, 0.04)]


def test_include_adds_and_exclude_removes():
    content = {
        "base": {"epochs": 3},
        "axes": {"activation": ["relu", "tanh"], "pooling": ["max", "avg"]},
        "exclude": [{"activation": "tanh", "pooling": ["avg", "lp2"]}],
        "include": [{"init": "zeros"}],
    }
    rows = knobs(content)
    assert len(rows) == 4
    assert not any(row["activation"] == "tanh" and row["pooling"] == "avg" for row in rows)
    assert rows[-1]["init"] == "zeros"
    assert {row["epochs"] for row in rows} == {3}


def test_includes_alone_are_the_whole_experiment():
    assert [row["init"] for row in knobs({"include": [{"init": "zeros"}, {"init": "orthogonal"}]})] == [
        "zeros",
        "orthogonal",
    ]


def test_a_bare_file_is_one_trial():
    experiment = check({})
    assert [named.name for named in experiment.trials] == ["base"]
    assert experiment.axes == {}


def test_random_designs_unfold_to_the_product_without_doubles():
    draw = random.Random(0)
    values = {
        "activation": ["relu", "tanh", "gelu", "silu"], "pooling": ["max", "avg", "lp2"], "batch_size": [8, 16, 32],
        "learning_rate": [0.1, 0.01], "dtype": ["float32", "bfloat16"],
    }  # fmt: skip
    for _ in range(50):
        axes = {k: draw.sample(v, draw.randint(1, len(v))) for k, v in values.items() if draw.random() < 0.7}
        experiment = check({"axes": axes})
        size = 1
        for levels in axes.values():
            size *= len(levels)
        assert len(experiment.trials) == size
        assert len({named.trial.key for named in experiment.trials}) == size
        assert len({named.name for named in experiment.trials}) == size


def test_names_say_what_varies():
    experiment = check(
        {
            "axes": {"batch_size": [32, 64], "memory_format": ["contiguous", "channels_last"]},
            "include": [{"init": "zeros"}],
        }
    )
    assert [named.name for named in experiment.trials] == ["b32", "b32-nhwc", "b64", "b64-nhwc", "b64-zeros"]


def test_the_baseline_is_the_first_or_the_one_named():
    axes = {"activation": ["relu", "tanh"]}
    assert check({"axes": axes}).baseline.variant.activation == "relu"
    assert check({"axes": axes, "baseline": {"activation": "tanh"}}).baseline.variant.activation == "tanh"
    with pytest.raises(ExperimentError, match="no trial has"):
        check({"axes": axes, "baseline": {"activation": "gelu"}})


def test_an_included_trial_may_have_a_name_of_its_own():
    experiment = check(
        {"base": {"epochs": 3}, "include": [{"init": "zeros", "name": "all zeros"}, {"init": "lecun_uniform"}]}
    )
    assert [named.name for named in experiment.trials] == ["all zeros", "lecun_uniform"]
    assert experiment.trials[0].trial.variant.init == "zeros"
    with pytest.raises(ExperimentError, match=r"\[include\]: name: 3 is not a name"):
        check({"include": [{"init": "zeros", "name": 3}]})


def test_two_trials_of_one_name_are_told_apart_by_their_keys():
    experiment = check({"include": [{"init": "zeros", "name": "x"}, {"init": "orthogonal", "name": "x"}]})
    first, second = experiment.trials
    assert first.name == "x"
    assert second.name == f"x-{second.trial.key[:4]}"


def test_a_trial_that_is_asked_for_twice_is_there_once():
    experiment = check({"axes": {"activation": ["relu", "tanh"]}, "include": [{"activation": "tanh"}]})
    assert [named.name for named in experiment.trials] == ["relu", "tanh"]


def test_axes_are_what_varies_includes_too():
    experiment = check({"axes": {"activation": ["relu"], "pooling": ["max", "avg"]}, "include": [{"init": "zeros"}]})
    assert list(experiment.axes) == ["pooling", "init"]
    assert experiment.axes["init"][1] == "zeros"


def test_extensions_lie_beside_the_file(tmp_path):
    (tmp_path / "mine.py").touch()
    experiment = check({"extensions": ["mine.py", "package.module"]}, tmp_path / "a.toml")
    assert experiment.extensions == [str(tmp_path / "mine.py"), "package.module"]
    with pytest.raises(ExperimentError, match=r"extensions: .*/other\.py: no such file"):
        check({"extensions": ["other.py"]}, tmp_path / "a.toml")
