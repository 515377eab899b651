"""Main effects and interactions of designs whose effects are known, or worked out by hand."""

import itertools

import numpy as np
import pytest
import scipy.stats
from fakes.made_run import make_record, make_run, odd_run

from bench.analysis.results import Results
from bench.report.report import find_effects


def designed(path, accuracy, step_s, axes=None, leave_out=()):
    """A full design of activation x batch size: each trial's seeds and processes from two functions of its levels."""
    axes = axes or {"activation": ["relu", "tanh"], "batch_size": [8, 16, 32]}
    records = [
        make_record({"activation": act, "batch_size": size}, accuracy(act, size), step_s(act, size))
        for act in axes["activation"] for size in axes["batch_size"] if (act, size) not in leave_out
    ]  # fmt: skip
    return make_run(path, records, axes)


def test_main_effects_of_a_known_design(tmp_path):
    def accuracy(act, size):
        base = 0.9 - (0.02 if act == "tanh" else 0.0) + size / 1000
        return [base + luck for luck in (0.0, 0.004, 0.001)]

    def step_s(act, size):
        return [1e-3 * size * (1.25 if act == "tanh" else 1.0) * layout for layout in (1.0, 1.1, 0.95)]

    run = designed(tmp_path / "r", accuracy, step_s)
    effects = Results.of(run).effects.set_index(["axis", "level"])
    relu, tanh = effects.loc[("activation", "relu")], effects.loc[("activation", "tanh")]
    # Seeds and processes are shared, so that what they do cancels, and the effects are known exactly.
    for row, difference, ratio in ((relu, 0.0, 1.0), (tanh, -0.02, 1.25)):
        assert row["trials"] == 3
        for bound in ("", "_low", "_high"):
            assert row["accuracy_difference" + bound] == pytest.approx(difference, abs=1e-12)
            assert row["step_ratio" + bound] == pytest.approx(ratio, rel=1e-12)
    assert tanh["test_accuracy"] == pytest.approx(0.88 + (8 + 16 + 32) / 3 / 1000 + 0.005 / 3)
    for size in (8, 16, 32):
        row = effects.loc[("batch_size", str(size))]
        assert row["accuracy_difference"] == pytest.approx((size - 8) / 1000)
        assert row["step_ratio"] == pytest.approx(size / 8)
        assert row["trials"] == 2
    # Eta squared by hand, of a design without interaction: the shares add up to all.
    squares = {"activation": 6 * 0.01**2, "batch_size": 2 * sum((s - 56 / 3) ** 2 for s in (8, 16, 32)) / 1e6}
    for axis in squares:
        shares = effects.loc[axis]["accuracy_share"]
        assert shares.iloc[0] == pytest.approx(squares[axis] / sum(squares.values()))
    assert effects.loc["activation"]["step_share"].iloc[0] + effects.loc["batch_size"]["step_share"].iloc[
        0
    ] == pytest.approx(1.0)


def test_an_effects_interval_is_students_over_the_seeds(tmp_path):
    luck = {"relu": (0.0, 0.004, 0.001), "tanh": (0.003, -0.002, 0.0)}
    run = designed(
        tmp_path / "r",
        lambda act, size: [0.9 + size / 1000 + change for change in luck[act]],
        lambda act, size: [1e-3, 1e-3, 1e-3],
    )
    differences = np.subtract(luck["tanh"], luck["relu"])
    low, high = scipy.stats.t.interval(0.95, 2, loc=differences.mean(), scale=scipy.stats.sem(differences))
    row = Results.of(run).effects.set_index(["axis", "level"]).loc[("activation", "tanh")]
    assert row["accuracy_difference"] == pytest.approx(differences.mean())
    assert (row["accuracy_difference_low"], row["accuracy_difference_high"]) == pytest.approx((low, high))


def test_levels_are_compared_within_blocks_alone(tmp_path):
    """tanh at the largest batch is missing: the rest of that block must not lift relu."""
    run = designed(
        tmp_path / "r",
        lambda act, size: [0.5 + size / 100] * 2,
        lambda act, size: [1e-3 * size] * 2,
        leave_out={("tanh", 32)},
    )
    effects = Results.of(run).effects.set_index(["axis", "level"])
    assert effects.loc[("activation", "tanh")]["accuracy_difference"] == pytest.approx(0.0)
    assert effects.loc[("activation", "tanh")]["step_ratio"] == pytest.approx(1.0)
    assert effects.loc[("activation", "relu")]["trials"] == 2


def test_runs_are_not_blocks_of_each_other(tmp_path):
    """The same trials in two runs, the second on a machine three times as slow."""
    runs = [
        designed(
            tmp_path / name,
            lambda act, size: [0.9, 0.91],
            lambda act, size, slow=slow: [slow * 1e-3 * (2 if act == "tanh" else 1)] * 2,
        )
        for name, slow in (("a", 1.0), ("b", 3.0))
    ]
    effects = Results.of(*runs).effects.set_index(["axis", "level"])
    row = effects.loc[("activation", "tanh")]
    assert row["step_ratio"] == pytest.approx(2.0)
    assert row["trials"] == 6  # three blocks in each run


def test_a_selection_of_the_table_selects_the_effects_trials(tmp_path):
    run = designed(
        tmp_path / "r",
        lambda act, size: [0.9 if size < 32 or act == "relu" else 0.5] * 2,
        lambda act, size: [1e-3] * 2,
    )
    effects = Results.of(run, where="batch_size < 32").effects.set_index(["axis", "level"])
    assert effects.loc[("activation", "tanh")]["accuracy_difference"] == pytest.approx(0.0)


def test_axes_that_move_together_have_nothing_to_compare(tmp_path):
    run = odd_run(tmp_path / "odd", "moving together")
    effects = Results.of(run).effects
    assert len(effects) == 4
    assert effects[["accuracy_difference", "step_ratio", "accuracy_share"]].isna().all(axis=None)


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
