"""A run's pictures: which are drawn, and the effect of each axis and the throughput against batch size.

Each file is made whole or not at all. Nothing is decided here: which trials are on the Pareto front or within the noise
of the best comes with the ranking.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.analysis.results import Results
from bench.records.files import whole_file
from bench.report.curves import draw_curves, draw_rejection
from bench.report.report import LEVELS
from bench.report.scatter import draw_scatter
from bench.report.style import COLOURS, QUIET, STYLE, add_legend, interval_lengths, shorten, write_plainly

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LOST = 20.0  # points of accuracy


def draw_plots(results: Results) -> list[Path]:
    """Draws what the run has data for into `plots/` of its folder, as PNG and SVG. Returns the files."""
    import matplotlib
    from matplotlib.figure import Figure

    table, ranked, axes = results.table, results.ranked, results.axes
    timed = ranked.dropna(subset=["step_ms"])
    learned = ranked.dropna(subset=["test_accuracy"])
    pictures: list[tuple[str, tuple[float, float], Callable[[Figure], None]]] = []
    if len(timed.dropna(subset=["test_accuracy"])) > 1:
        pictures.append(("accuracy_step_time", (7.2, 4.6), lambda f: draw_scatter(f, timed, table)))
    effects = results.effects
    if len(effects):
        effects = effects[effects.groupby("axis")["axis"].transform("size") <= LEVELS]
    if len(effects) and effects[["accuracy_difference", "step_ratio"]].notna().any(axis=None):
        height = 1.2 + 0.32 * len(effects) + 0.3 * len(axes)
        pictures.append(("main_effects", (8.4, height), lambda f: draw_effects(f, effects)))
    curved = learned.dropna(subset=["validation_accuracy"]) if learned["train_accuracy"].isna().all() else learned
    curved = curved[curved["parameters"].notna()]  # what is no network has no passes
    if len(curved):
        pictures.append(("training_curves", (8.4, 3.8), lambda f: draw_curves(f, results.reading, list(curved["key"]))))
    refusing = learned.dropna(subset=["reject_margin_1pct"])
    if len(refusing):
        pictures.append(("rejection", (7.2, 4.6), lambda f: draw_rejection(f, results.reading, list(refusing["key"]))))
    if timed["batch_size"].nunique() > 1:
        pictures.append(("throughput", (7.2, 4.2), lambda f: draw_throughput(f, timed, axes)))
    folder = results.run.path / "plots"
    folder.mkdir(exist_ok=True)
    paths = []
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # A name in a script that the font lacks: a box in the PNG, and as it should be in the SVG.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        for name, size, draw in pictures:
            figure = Figure(figsize=size, layout="constrained")
            draw(figure)
            for suffix in ("png", "svg"):
                path = folder / f"{name}.{suffix}"
                metadata = {"Date": None} if suffix == "svg" else {}
                with whole_file(path) as file:
                    figure.savefig(file, format=suffix, dpi=144, metadata=metadata)
                paths.append(path)
    return paths


def draw_effects(figure: Figure, effects: pd.DataFrame) -> None:
    """One row a level: its difference in accuracy to the axis's first level on the left, its step time on the right.

    A level that lost more than `LOST` points is an arrow with its number at the edge, so that the others can be told
    apart.
    """
    panels_of = (
        ("accuracy_difference", 100.0, 0.0, "test accuracy, points to the first level"),
        ("step_ratio", 1.0, 1.0, "step time, as a multiple of the first level's"),
    )
    choices = [choice for choice in panels_of if effects[choice[0]].notna().any()]
    panels = figure.subplots(1, len(choices), sharey=True, squeeze=False)[0]
    names, position, ticks = [], 0.0, []
    for number, (axis, levels) in enumerate(effects.groupby("axis", sort=False)):
        colour = COLOURS[number % 6]
        for place, (_, level) in enumerate(levels.iterrows()):
            ticks.append(position)
            names.append(f"{axis} = {shorten(level['level'])}" + (" (first)" if place == 0 else ""))
            for axes, (name, scale, _, _) in zip(panels, choices, strict=True):
                value = level[name] * scale
                if name == "accuracy_difference" and value < -LOST:
                    where = axes.get_yaxis_transform()
                    axes.text(0.01, position, f"◀ {value:.0f}", transform=where, color=colour, va="center")
                elif not np.isnan(value):
                    error = None if place == 0 else interval_lengths(level.to_frame().T, name, scale)
                    axes.errorbar([value], [position], xerr=error, fmt="o", color=colour, ms=5, lw=1)
            position += 1.0
        position += 0.8
    panels[0].set_yticks(ticks, names)
    panels[0].set_ylim(max(ticks) + 0.6, -0.6)
    panels[0].set_title("What each level does, averaged over the other axes (95 %)")
    for axes, (_, _, even, label) in zip(panels, choices, strict=True):
        axes.set_xlabel(label)
        axes.axvline(even, color=QUIET, lw=0.8, zorder=0)


def draw_throughput(figure: Figure, timed: pd.DataFrame, swept: dict[str, list[Any]]) -> None:
    """Images per second of a step against the batch size, a line for each combination of the other axes that time
    depends on.
    """
    axes = figure.subplots()
    irrelevant = {"batch_size", "updates", "epochs", "learning_rate", "schedule", "init"}
    others = [axis for axis in swept if axis not in irrelevant]
    grouped = timed.groupby(others, sort=False) if others else [("all", timed)]
    for number, (levels, trials) in enumerate(grouped):
        mean = trials.sort_values("batch_size").drop_duplicates("batch_size")
        sizes, throughput = mean["batch_size"].to_numpy(float), mean["step_images_per_s"].to_numpy(float)
        bounds = sizes * 1e3 / mean[["step_ms_high", "step_ms_low"]].to_numpy(float).T
        error = np.nan_to_num(np.clip(np.stack([throughput - bounds[0], bounds[1] - throughput]), 0, None))
        label = shorten(", ".join(map(str, levels)) if isinstance(levels, tuple) else levels)
        dash = ("-", "--", ":", "-.")[number // len(COLOURS) % 4]
        colour = COLOURS[number % len(COLOURS)]
        axes.errorbar(sizes, throughput, yerr=error, fmt="o", ls=dash, ms=4, lw=1.2, color=colour, label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    write_plainly(axes.yaxis, timed["step_images_per_s"])
    axes.set_xlabel("batch size")
    axes.set_ylabel("images per second, training step")
    axes.set_title("Throughput against batch size")
    shown = sorted(timed["batch_size"].unique())
    axes.set_xticks(shown, [f"{size:g}" for size in shown])
    axes.minorticks_off()
    if others:
        add_legend(figure)
