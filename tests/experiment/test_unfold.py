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
