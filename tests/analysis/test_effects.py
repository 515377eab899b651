"""Interactions: their share of the variance against the analysis of variance by hand."""

import itertools

import numpy as np
import pytest
from fakes.made_run import make_record, make_run

from bench.analysis.results import Results
from bench.report.report import find_effects, front_in_words

ACTIVATIONS, POOLINGS = ["relu", "tanh", "gelu"], ["max", "avg"]


def grid(folder, means, spread=0.001, drop=()):
    """A run with one trial a cell; `means` (3, 2) are accuracies; three seeds around each."""
    records = [
        make_record({"activation": a, "pooling": p}, [means[i][j] + spread * s for s in (-1, 0, 1)], (1e-3, 1.1e-3))
        for (i, a), (j, p) in itertools.product(enumerate(ACTIVATIONS), enumerate(POOLINGS))
        if (i, j) not in drop
    ]  # fmt: skip
    return make_run(folder, records, {"activation": ACTIVATIONS, "pooling": POOLINGS})


def test_in_a_full_grid_it_is_eta_squared_of_the_analysis_of_variance(tmp_path):
    means = np.array([[0.9, 0.91], [0.95, 0.93], [0.92, 0.97]])
    run = grid(tmp_path / "run", means)
    results = Results.of(run)
    row = results.interactions.iloc[0]
    rest = means - means.mean(axis=1, keepdims=True) - means.mean(axis=0) + means.mean()
    assert row["accuracy_share"] == pytest.approx((rest**2).sum() / ((means - means.mean()) ** 2).sum())
    # Two degrees of freedom, each with the variance of a mean over three seeds.
    assert row["accuracy_noise"] == pytest.approx(2 * 0.001**2 / 3 / ((means - means.mean()) ** 2).sum())
    assert row["trials"] == 6
    shares = {name: accuracy for name, accuracy, *_ in find_effects(results).shares}
    assert sum(shares.values()) == pytest.approx(1)


def test_effects_that_add_up_have_no_interaction_even_where_a_trial_is_missing(tmp_path):
    means = np.array([[0.9], [0.92], [0.95]]) + np.array([0.0, 0.02])
    for number, drop in enumerate(((), ((1, 1),))):
        run = grid(tmp_path / f"run{number}", means, drop=drop)
        assert Results.of(run).interactions["accuracy_share"].iloc[0] == pytest.approx(0, abs=1e-6)


def test_where_two_terms_fit_everything_nothing_is_said(tmp_path):
    run = grid(tmp_path / "run", np.full((3, 2), 0.9), drop=((1, 1), (2, 1)))
    assert np.isnan(Results.of(run).interactions["accuracy_share"].iloc[0])


def test_the_front_is_named_and_bounded(tmp_path):
    records = [
        make_record({"activation": "relu", "batch_size": size}, (0.5 + size / 100,) * 3, (size * 1e-3,))
        for size in range(1, 31)
    ]
    run = make_run(tmp_path / "run", records, {"batch_size": list(range(1, 31))})
    text = front_in_words(Results.of(run))
    assert text.count("%") == 12
    assert text.endswith("and 18 more.")
