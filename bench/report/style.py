"""How the pictures look, and what several drawings need: colours, names, ticks, legends, lengths of error bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


# Okabe and Ito's palette, told apart with any colour vision.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#999999"]
QUIET = "#8a8f98"
NAMED = 32  # characters of a name
LISTED = 5  # names in a note
STYLE: dict[Any, Any] = {
    "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
    "axes.titlesize": 11, "axes.titlelocation": "left", "svg.fonttype": "none", "svg.hashsalt": "lenet-bench",
}  # fmt: skip


def interval_lengths(values: pd.DataFrame, name: str, scale: float = 1.0) -> np.ndarray[Any, Any]:
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
