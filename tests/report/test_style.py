"""Names are bounded and no formulas, ticks are plain numbers, error bars have the lengths of their intervals."""

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from bench.report.style import NAMED, add_legend, interval_lengths, list_names, shorten, write_plainly


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("relu-max", "relu-max"),
        ("two\nlines", "two lines"),
        ("$x$", r"\$x\$"),
        ("_hidden", " _hidden"),
        ("a" * 20 + "b" * 20, "a" * 15 + "…" + "b" * 16),
        (64, "64"),
    ],
)
def test_a_name_is_bounded_and_no_formula(name, short):
    assert shorten(name) == short
    assert len(short) <= NAMED + 2


def test_a_list_of_names_is_bounded():
    assert list_names(["a", "b"]) == "a, b"
    assert list_names(list("abcdefgh")) == "a, b, c, d, e and 3 more"


@pytest.mark.parametrize(("values", "expected"), [((1.0, 2.0), {"1", "2"}), ((0.01, 1000.0), {"0.01", "1", "1,000"})])
def test_ticks_of_a_logarithmic_axis_are_plain_numbers(values, expected):
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 2], values)
    axes.set_yscale("log")
    write_plainly(axes.yaxis, values)
    figure.draw_without_rendering()
    texts = {label.get_text() for label in axes.get_yticklabels()}
    assert expected <= texts
    assert not any("10^" in text or "e" in text for text in texts)


def test_an_unknown_bound_has_no_length():
    columns = {"x": [1.0, 2.0], "x_low": [0.5, math.nan], "x_high": [1.75, math.nan]}
    lengths = interval_lengths(pd.DataFrame(columns), "x", 10)
    assert np.array_equal(lengths, [[5.0, 0.0], [7.5, 0.0]])


def test_a_legend_has_as_many_columns_as_fit():
    columns = []
    for label in ("a", "a" * NAMED):
        figure = Figure(figsize=(7.2, 4), layout="constrained")
        axes = figure.subplots()
        for _ in range(4):
            axes.plot([1, 2], label=label)
        add_legend(figure)
        columns.append(figure.legends[0]._ncols)
    assert columns[0] > columns[1] >= 1
