"""The pictures with a line a trial: training by epoch, and error against the share refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.analysis.rejection import error_curve, ranked_seeds, test_images
from bench.records.record import Record
from bench.report.style import COLOURS, QUIET, add_legend, shorten, write_plainly

if TYPE_CHECKING:
    from matplotlib.figure import Figure


CURVES = 8  # trials; more could not be told apart
WIDEST_REFUSAL = 0.3  # the share of the test images up to which rejection is drawn


def draw_curves(figure: Figure, records: Iterable[Record], keys: Sequence[str]) -> None:
    """Training loss and validation accuracy by epoch: the mean over seeds, the band from the lowest to the highest."""
    from matplotlib.ticker import MaxNLocator

    left, right = figure.subplots(1, 2)
    chosen = list(dict.fromkeys([*keys[: CURVES - 1], keys[-1]]))
    by_key = {record.key: record for record in records if record.key in chosen}
    drawn: list[float] = []
    tested = False
    for number, key in enumerate(chosen):
        colour = COLOURS[number % len(COLOURS)]
        for axes, name, scale in ((left, "train_loss", 1.0), (right, "validation_accuracy", 100.0)):
            if axes is right and any("test_accuracy" in e for seed in by_key[key].seeds for e in seed.history):
                name, tested = "test_accuracy", True  # nothing was held back to choose by
            curves = [[np.nan if e[name] is None else e[name] for e in seed.history] for seed in by_key[key].seeds]
            length = min(map(len, curves), default=0)
            values = np.array([curve[:length] for curve in curves], dtype=float) * scale
            epochs = np.arange(1, length + 1)
            marker = "o" if length == 1 else None  # a line of one point is none
            drawn += list(values.mean(axis=0)) if axes is left else []
            label = shorten(by_key[key].name) if axes is left else None
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


def draw_rejection(figure: Figure, records: Iterable[Record], keys: Sequence[str]) -> None:
    """Error on the answered images against the share refused, by margin: the mean over seeds, and their range."""
    axes = figure.subplots()
    chosen = keys[:CURVES]
    by_key = {record.key: record for record in records if record.key in chosen}
    for number, key in enumerate(chosen):
        images = test_images(by_key[key])
        curves = [error_curve(seed.rejection["margin"], images) for seed in ranked_seeds(by_key[key])]
        shown = np.unique(
            np.linspace(0, WIDEST_REFUSAL * (images - 1), 301).astype(int)
        )  # ten thousand make an SVG of MB
        values, refused = np.array(curves)[:, shown] * 100, shown / images * 100
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(refused, values.mean(axis=0), color=colour, lw=1.5, label=shorten(by_key[key].name))
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
