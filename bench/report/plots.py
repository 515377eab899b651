"""A run's pictures: accuracy against step time, the effect of each axis, training curves, throughput against batch
size.

Records and the table go in; PNG and SVG files come out, each made whole or not at all. Nothing is decided here: which
trials are on the Pareto front or within the noise of the best comes with the ranking.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.analysis.rejection import error_curve, ranked_seeds, test_images
from bench.analysis.results import Results
from bench.records.journal import whole_file
from bench.records.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


# Okabe and Ito's palette, told apart with any colour vision.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#999999"]
QUIET = "#8a8f98"
CROWD = 300  # trials; of more, only the front's intervals are drawn, and points as a picture inside the SVG
LEVELS = 24  # an axis of more levels is not drawn level by level
LABELLED = 8  # trials named in a scatter; more would cover each other
CURVES = 8
NAMED = 32  # characters of a name
LISTED = 5  # names in a note
LOST = 20.0  # points of accuracy
WIDEST_REFUSAL = 0.3  # the share of the test images up to which rejection is drawn
STYLE: dict[Any, Any] = {
    "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
    "axes.titlesize": 11, "axes.titlelocation": "left", "svg.fonttype": "none", "svg.hashsalt": "lenet-bench",
}  # fmt: skip


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


def _spread(values: pd.DataFrame, name: str, scale: float = 1.0) -> np.ndarray[Any, Any]:
    """Distances from the value down and up to its bounds, (2, n); 0 where a bound is not known."""
    middle = values[name].to_numpy(float)
    low, high = values[f"{name}_low"].to_numpy(float), values[f"{name}_high"].to_numpy(float)
    distances: np.ndarray[Any, Any] = np.nan_to_num(np.clip(np.stack([middle - low, high - middle]), 0, None)) * scale
    return distances


def shorten(name: object) -> str:
    """A name as matplotlib shall draw it: of bounded length, and nothing in it taken for a formula or left out."""
    text = " ".join(str(name).split())
    if len(text) > NAMED:
        text = f"{text[: NAMED // 2 - 1]}…{text[-NAMED // 2 :]}"
    text = text.replace("$", "\\$")
    return f" {text}" if text.startswith("_") else text  # legends leave out what begins with an underscore


def list_names(names: Sequence[object]) -> str:
    """The first few names."""
    more = len(names) - LISTED
    return ", ".join(map(shorten, names[:LISTED])) + (f" and {more} more" if more > 0 else "")


def write_plainly(axis: Axis, values: Iterable[float]) -> None:
    """Ticks of a logarithmic axis as plain numbers, at enough places to read the values off."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    known = [value for value in values if value > 0]
    if known and max(known) > 4 * min(known):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    else:
        axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_formatter(NullFormatter())


def add_legend(figure: Figure) -> None:
    """The lines' names below the pictures, where they cover nothing, in as many columns as fit."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    columns = int(figure.get_figwidth() * 72 / (40 + 5.2 * max(map(len, labels))))  # points, at this size of letters
    figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside lower left", ncols=max(1, columns))


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
                trials["step_ms"], trials["test_accuracy"] * 100, xerr=_spread(trials, "step_ms"),
                yerr=_spread(trials, "test_accuracy", 100), fmt="o", ms=5, lw=1, color=colour, alpha=0.85, label=label,
            )  # fmt: skip
    front = shown[shown["pareto"]].sort_values("step_ms")
    axes.step(front["step_ms"], front["test_accuracy"] * 100, where="post", color=COLOURS[0], lw=1, alpha=0.6)
    axes.margins(x=0.12, y=0.1)
    axes.set_xlabel("step time (ms), 95 % interval over processes")
    axes.set_ylabel("test accuracy (%), 95 % interval over seeds")
    axes.set_title("Accuracy against the time of a training step")
    low = float((shown["test_accuracy"] - np.nan_to_num(_spread(shown, "test_accuracy")[0])).min())
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
                    error = None if place == 0 else _spread(level.to_frame().T, name, scale)
                    axes.errorbar([value], [position], xerr=error, fmt="o", color=colour, ms=5, lw=1)
            position += 1.0
        position += 0.8
    panels[0].set_yticks(ticks, names)
    panels[0].set_ylim(max(ticks) + 0.6, -0.6)
    panels[0].set_title("What each level does, averaged over the other axes (95 %)")
    for axes, (_, _, even, label) in zip(panels, choices, strict=True):
        axes.set_xlabel(label)
        axes.axvline(even, color=QUIET, lw=0.8, zorder=0)


def draw_curves(figure: Figure, reading: Iterable[Record], keys: Sequence[str]) -> None:
    """Training loss and validation accuracy by epoch: the mean over seeds, the band from the lowest to the highest."""
    from matplotlib.ticker import MaxNLocator

    left, right = figure.subplots(1, 2)
    chosen = list(dict.fromkeys([*keys[: CURVES - 1], keys[-1]]))
    records = {record.key: record for record in reading if record.key in chosen}
    drawn: list[float] = []
    tested = False
    for number, key in enumerate(chosen):
        colour = COLOURS[number % len(COLOURS)]
        for axes, name, scale in ((left, "train_loss", 1.0), (right, "validation_accuracy", 100.0)):
            if axes is right and any("test_accuracy" in e for seed in records[key].seeds for e in seed.history):
                name, tested = "test_accuracy", True  # nothing was held back to choose by
            curves = [[np.nan if e[name] is None else e[name] for e in seed.history] for seed in records[key].seeds]
            length = min(map(len, curves), default=0)
            values = np.array([curve[:length] for curve in curves], dtype=float) * scale
            epochs = np.arange(1, length + 1)
            marker = "o" if length == 1 else None  # a line of one point is none
            drawn += list(values.mean(axis=0)) if axes is left else []
            label = shorten(records[key].name) if axes is left else None
            axes.plot(epochs, values.mean(axis=0), color=colour, lw=1.5, marker=marker, ms=4, label=label)
            axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15, lw=0)
    left.set_yscale("log")
    write_plainly(left.yaxis, drawn)
    left.set_title("training loss")
    right.set_title("test accuracy (%), nothing chosen by it" if tested else "validation accuracy (%)")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axes.get_xlim()[1] - axes.get_xlim()[0] < 1:  # of a single epoch
            axes.set_xlim(0, 2)
    more = f"  ({len(keys)} trials; the best {len(chosen) - 1} and the last)" if len(keys) > len(chosen) else ""
    figure.suptitle(f"Training, mean and range over seeds{more}", x=0.01, ha="left", fontsize=11)
    add_legend(figure)


def draw_rejection(figure: Figure, reading: Iterable[Record], keys: Sequence[str]) -> None:
    """Error on the answered images against the share refused, by margin: the mean over seeds, and their range."""
    axes = figure.subplots()
    chosen = keys[:CURVES]
    records = {record.key: record for record in reading if record.key in chosen}
    for number, key in enumerate(chosen):
        images = test_images(records[key])
        curves = [error_curve(seed.rejection["margin"], images) for seed in ranked_seeds(records[key])]
        shown = np.unique(
            np.linspace(0, WIDEST_REFUSAL * (images - 1), 301).astype(int)
        )  # ten thousand make an SVG of MB
        values, refused = np.array(curves)[:, shown] * 100, shown / images * 100
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(refused, values.mean(axis=0), color=colour, lw=1.5, label=shorten(records[key].name))
        axes.fill_between(refused, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15, lw=0)
    for error in (1.0, 0.5):
        axes.axhline(error, color=QUIET, lw=0.8, ls="--", zorder=0)
    axes.set_xlim(0, 100 * WIDEST_REFUSAL)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("test images refused (%), the smallest margins first")
    axes.set_ylabel("errors among the answered (%)")
    more = f" ({len(keys)} trials; the best {CURVES})" if len(keys) > CURVES else ""
    axes.set_title(f"Error against rejection, mean and range over seeds{more}")
    add_legend(figure)


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
