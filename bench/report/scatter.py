"""The picture of accuracy against step time, with the Pareto front joined and named."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.report.style import COLOURS, QUIET, interval_lengths, list_names, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


CROWD = 300  # trials; of more, only the front's intervals are drawn, and points as a picture inside the SVG
LABELLED = 8  # trials named in a scatter; more would cover each other


def draw_scatter(figure: Figure, timed: pd.DataFrame, table: pd.DataFrame) -> None:
    """Accuracy against step time with both intervals; the Pareto front joined and named.

    Trials far below the rest, which failed to learn, are named in a note rather than shrinking the scale for all.
    """
    axes = figure.subplots()
    middle = float(timed["test_accuracy"].median())
    cut = middle - max(0.05, 6 * float((timed["test_accuracy"] - middle).abs().median()))
    shown, lost = timed[timed["test_accuracy"] >= cut], timed[timed["test_accuracy"] < cut]
    groups = [(shown[~shown["pareto"]], QUIET, "other trials"), (shown[shown["pareto"]], COLOURS[0], "Pareto front")]
    for trials, colour, label in groups:
        if len(trials) > CROWD:
            accuracy = trials["test_accuracy"] * 100
            axes.plot(trials["step_ms"], accuracy, "o", ms=2, color=colour, alpha=0.4, label=label, rasterized=True)
        elif len(trials):
            axes.errorbar(
                trials["step_ms"], trials["test_accuracy"] * 100, xerr=interval_lengths(trials, "step_ms"),
                yerr=interval_lengths(trials, "test_accuracy", 100), fmt="o", ms=5, lw=1, color=colour,
                alpha=0.85, label=label,
            )  # fmt: skip
    front = shown[shown["pareto"]].sort_values("step_ms")
    axes.step(front["step_ms"], front["test_accuracy"] * 100, where="post", color=COLOURS[0], lw=1, alpha=0.6)
    axes.margins(x=0.12, y=0.1)
    axes.set_xlabel("step time (ms), 95 % interval over processes")
    axes.set_ylabel("test accuracy (%), 95 % interval over seeds")
    axes.set_title("Accuracy against the time of a training step")
    low = float((shown["test_accuracy"] - np.nan_to_num(interval_lengths(shown, "test_accuracy")[0])).min())
    axes.set_ylim(max(low, 2 * cut - middle) * 100 - 0.2, min(100.2, axes.get_ylim()[1]))
    notes = [f"below the scale: {list_names(list(lost['name']))}"] if len(lost) else []
    failed = int((table["status"] == "failed").sum())
    notes += [f"{failed} failed"] if failed else []
    figure.legend(
        loc="outside lower left", frameon=False, ncols=2, fontsize=9, alignment="left",
        title=textwrap.fill("; ".join(notes), 110) or None, title_fontproperties={"size": 8},
    )  # fmt: skip
    figure.draw_without_rendering()  # only then is it known where things are
    label_points(axes, shown.sort_values("pareto", ascending=False, kind="stable").head(max(LABELLED, len(front))))


def label_points(axes: Axes, trials: pd.DataFrame) -> None:
    """Names beside points, on the side where there is room; a name that would lie on an earlier one is left out."""
    behind = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}  # other points may lie under a name
    placed: list[Any] = []
    for _, trial in trials.iterrows():
        x, y = float(trial["step_ms"]), float(trial["test_accuracy"]) * 100
        right = axes.transLimits.transform((x, y))[0] > 0.6
        label = axes.annotate(
            shorten(trial["name"]), (x, y), xytext=(-6 if right else 6, 5), textcoords="offset points", fontsize=8,
            ha="right" if right else "left", in_layout=False, bbox=behind, zorder=9,
        )  # fmt: skip
        extent = label.get_window_extent()
        if any(extent.overlaps(other) for other in placed):
            label.remove()
        else:
            placed.append(extent)
