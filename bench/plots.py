"""A run's pictures: accuracy against step time, the effect of each axis, training curves, throughput against batch
size.

Records and the table go in; PNG and SVG files come out, each made whole or not at all. Nothing is decided here: which
trials are on the Pareto front or within the noise of the best comes with the ranking.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.record import Run
from bench.rejection import error_curve, ranked_seeds, test_images
from bench.table import main_effects

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart with any colour vision.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#999999"]
QUIET = "#8a8f98"
LABELLED = 8  # trials named in a scatter; more would cover each other
CURVES = 8
LOST = 20.0  # points of accuracy
STYLE: dict[Any, Any] = {
    "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
    "axes.titlesize": 11, "axes.titlelocation": "left", "svg.fonttype": "none", "svg.hashsalt": "lenet-bench",
}  # fmt: skip


def draw_plots(run: Run, table: pd.DataFrame, ranked: pd.DataFrame) -> list[Path]:
    """Draws what the run has data for into `plots/`, as PNG and SVG. Returns the files.

    **Arguments:**

    - `table`: one row a trial. `ranked`: the successful ones with `pareto` and `within_noise`, from `bench.table.rank`.
    """
    import matplotlib
    from matplotlib.figure import Figure

    axes: dict[str, list[Any]] = run.experiment["axes"]
    timed = ranked.dropna(subset=["step_ms"])
    learned = ranked.dropna(subset=["test_accuracy"])
    pictures: list[tuple[str, tuple[float, float], Callable[[Figure], None]]] = []
    if len(timed.dropna(subset=["test_accuracy"])) > 1:
        pictures.append(("accuracy_step_time", (7.2, 4.6), lambda f: draw_scatter(f, timed, table)))
    if axes and len(ranked) > 1:
        effects = main_effects([run], table)
        levels = sum(len(values) for values in axes.values())
        pictures.append(
            ("main_effects", (8.4, 1.2 + 0.32 * levels + 0.3 * len(axes)), lambda f: draw_effects(f, effects))
        )
    records = {record.key: record for record in run.records()}
    curved = [key for key in learned["key"] if any(seed.history for seed in records[key].seeds)]
    if curved:
        pictures.append(("training_curves", (8.4, 3.8), lambda f: draw_curves(f, run, curved)))
    rejecting = learned.dropna(subset=["reject_margin_1pct"]) if "reject_margin_1pct" in learned else learned[:0]
    if len(rejecting):
        pictures.append(("rejection", (7.2, 4.6), lambda f: draw_rejection(f, run, list(rejecting["key"]))))
    if timed["batch_size"].nunique() > 1:
        pictures.append(("throughput", (7.2, 4.2), lambda f: draw_throughput(f, timed, axes)))
    folder = run.path / "plots"
    folder.mkdir(exist_ok=True)
    paths = []
    with matplotlib.rc_context(STYLE):
        for name, size, draw in pictures:
            figure = Figure(figsize=size, layout="constrained")
            draw(figure)
            for suffix in ("png", "svg"):
                path = folder / f"{name}.{suffix}"
                temporary = folder / f"{name}.part.{suffix}"
                metadata = {"Date": None} if suffix == "svg" else {}
                figure.savefig(temporary, dpi=144, metadata=metadata)
                temporary.replace(path)
                paths.append(path)
    return paths


def _spread(values: pd.DataFrame, name: str, scale: float = 1.0) -> np.ndarray[Any, Any]:
    """Distances from the value down and up to its bounds, (2, n); 0 where a bound is not known."""
    middle = values[name].to_numpy(float)
    low, high = values[f"{name}_low"].to_numpy(float), values[f"{name}_high"].to_numpy(float)
    distances: np.ndarray[Any, Any] = np.nan_to_num(np.clip(np.stack([middle - low, high - middle]), 0, None)) * scale
    return distances


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
        if len(trials):
            axes.errorbar(
                trials["step_ms"], trials["test_accuracy"] * 100, xerr=_spread(trials, "step_ms"),
                yerr=_spread(trials, "test_accuracy", 100), fmt="o", ms=5, lw=1, color=colour, alpha=0.85, label=label,
            )  # fmt: skip
    front = shown[shown["pareto"]].sort_values("step_ms")
    axes.step(front["step_ms"], front["test_accuracy"] * 100, where="post", color=COLOURS[0], lw=1, alpha=0.6)
    label_points(axes, pd.concat([front, shown[~shown["pareto"]]]).head(max(LABELLED, len(front))))
    axes.set_xlabel("step time (ms), 95 % interval over processes")
    axes.set_ylabel("test accuracy (%), 95 % interval over seeds")
    axes.set_title("Accuracy against the time of a training step")
    axes.legend(loc="lower right", frameon=False)
    low = float((shown["test_accuracy"] - np.nan_to_num(_spread(shown, "test_accuracy")[0])).min())
    axes.set_ylim(max(low, 2 * cut - middle) * 100 - 0.2, min(100.2, axes.get_ylim()[1]))
    notes = [f"below the scale: {', '.join(lost['name'])}"] if len(lost) else []
    failed = int((table["status"] == "failed").sum())
    notes += [f"{failed} failed"] if failed else []
    if notes:
        axes.text(0.01, 0.01, "; ".join(notes), transform=axes.transAxes, color=QUIET, fontsize=8)


def label_points(axes: Axes, trials: pd.DataFrame) -> None:
    """Names beside points; of points close to each other the later ones go without."""
    placed: list[tuple[float, float]] = []
    width = float(np.ptp(trials["step_ms"])) or 1.0
    height = float(np.ptp(trials["test_accuracy"])) * 100 or 1.0
    for _, trial in trials.sort_values("pareto", ascending=False, kind="stable").iterrows():
        x, y = float(trial["step_ms"]), float(trial["test_accuracy"]) * 100
        if any(abs(x - a) / width < 0.3 and abs(y - b) / height < 0.08 for a, b in placed):
            continue
        placed.append((x, y))
        axes.annotate(str(trial["name"]), (x, y), xytext=(6, 5), textcoords="offset points", fontsize=8)


def draw_effects(figure: Figure, effects: pd.DataFrame) -> None:
    """One row a level: its difference in accuracy to the axis's first level on the left, its step time on the right.

    A level that lost more than `LOST` points is an arrow with its number at the edge, so that the others can be told
    apart.
    """
    left, right = figure.subplots(1, 2, sharey=True)
    names, position, ticks = [], 0.0, []
    panels = ((left, "accuracy_difference", 100.0), (right, "step_ratio", 1.0))
    for number, (axis, levels) in enumerate(effects.groupby("axis", sort=False)):
        colour = COLOURS[number % 6]
        for place, (_, level) in enumerate(levels.iterrows()):
            ticks.append(position)
            names.append(f"{axis} = {level['level']}" + (" (first)" if place == 0 else ""))
            for axes, name, scale in panels:
                value = level[name] * scale
                if name == "accuracy_difference" and value < -LOST:
                    axes.text(
                        0.01,
                        position,
                        f"◀ {value:.0f}",
                        transform=axes.get_yaxis_transform(),
                        color=colour,
                        va="center",
                    )
                elif not np.isnan(value):
                    error = None if place == 0 else _spread(level.to_frame().T, name, scale)
                    axes.errorbar([value], [position], xerr=error, fmt="o", color=colour, ms=5, lw=1)
            position += 1.0
        position += 0.8
    left.set_yticks(ticks, names)
    left.invert_yaxis()
    left.set_xlabel("test accuracy, points to the first level")
    right.set_xlabel("step time, as a multiple of the first level's")
    for axes, even in ((left, 0.0), (right, 1.0)):
        axes.axvline(even, color=QUIET, lw=0.8, zorder=0)
    left.set_title("What each level does, averaged over the other axes (95 %)")


def draw_curves(figure: Figure, run: Run, keys: Sequence[str]) -> None:
    """Training loss and validation accuracy by epoch: the mean over seeds, the band from the lowest to the highest."""
    left, right = figure.subplots(1, 2)
    records = {record.key: record for record in run.records()}
    chosen = list(dict.fromkeys([*keys[: CURVES - 1], keys[-1]]))
    tested = False
    for number, key in enumerate(chosen):
        colour = COLOURS[number % len(COLOURS)]
        for axes, name, scale in ((left, "train_loss", 1.0), (right, "validation_accuracy", 100.0)):
            if scale > 1 and all("test_accuracy" in e for seed in records[key].seeds for e in seed.history):
                name, tested = "test_accuracy", True  # nothing was held back to choose by
            curves = [[np.nan if e[name] is None else e[name] for e in seed.history] for seed in records[key].seeds]
            length = min(map(len, curves), default=0)
            values = np.array([curve[:length] for curve in curves], dtype=float) * scale
            epochs = np.arange(1, length + 1)
            axes.plot(epochs, values.mean(axis=0), color=colour, lw=1.5, label=records[key].name)
            axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15, lw=0)
    left.set_yscale("log")
    left.set_xlabel("epoch")
    left.set_title("training loss")
    right.set_xlabel("epoch")
    right.set_title("test accuracy (%); nothing was chosen by it" if tested else "validation accuracy (%)")
    more = f"  ({len(keys)} trials; the best {len(chosen) - 1} and the last)" if len(keys) > len(chosen) else ""
    figure.suptitle(f"Training, mean and range over seeds{more}", x=0.01, ha="left", fontsize=11)
    right.legend(frameon=False, fontsize=8, loc="lower right")


def draw_rejection(figure: Figure, run: Run, keys: Sequence[str]) -> None:
    """Error on the answered images against the share refused, by margin: the mean over seeds, and their range."""
    axes = figure.subplots()
    records = {record.key: record for record in run.records()}
    for number, key in enumerate(keys[:CURVES]):
        images = test_images(records[key])
        curves = [error_curve(seed.rejection["margin"], images) for seed in ranked_seeds(records[key])]
        values, refused = np.array(curves) * 100, np.arange(images) / images * 100
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(refused, values.mean(axis=0), color=colour, lw=1.5, label=records[key].name)
        axes.fill_between(refused, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15, lw=0)
    for error in (1.0, 0.5):
        axes.axhline(error, color=QUIET, lw=0.8, ls="--", zorder=0)
    axes.set_xlim(0, 30)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("test images refused (%), the smallest margins first")
    axes.set_ylabel("errors among the answered (%)")
    more = f" ({len(keys)} trials; the best {CURVES})" if len(keys) > CURVES else ""
    axes.set_title(f"Error against rejection, mean and range over seeds{more}")
    axes.legend(frameon=False, fontsize=8, loc="upper right")


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
        label = ", ".join(map(str, levels)) if isinstance(levels, tuple) else str(levels)
        axes.errorbar(sizes, throughput, yerr=error, fmt="o-", ms=4, lw=1.2, color=COLOURS[number % 8], label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("batch size")
    axes.set_ylabel("images per second, training step")
    axes.set_title("Throughput against batch size")
    shown = sorted(timed["batch_size"].unique())
    axes.set_xticks(shown, [f"{size:g}" for size in shown])
    if others:
        axes.legend(frameon=False, fontsize=8)
