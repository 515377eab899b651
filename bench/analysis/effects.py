"""What each axis does: main effects and interactions, with their shares of the variance between trials.

Trials are compared only within blocks, where nothing else differs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.repeats import Repeats, mean
from bench.statistics.intervals import Estimate, mean_interval

Axes = Mapping[str, Sequence[Any]]
BACKFITTING_ROUNDS = 50


def main_effects(axes: Axes, trials: Sequence[Repeats]) -> pd.DataFrame:
    """For each axis and level: what it does to accuracy and step time, averaged over the other axes.

    A level is compared with the axis's first only within blocks: trials of one run that differ in this axis alone. The
    blocks are what was asked for, so they are averaged over; what was drawn at random are seeds and processes, so the
    intervals are Student's over those.

    Columns: `axis`, `level`, `trials` (of it, in blocks), `test_accuracy` (their mean), `accuracy_difference` (a
    share, to the first level) with `_low` and `_high`, `step_ratio` (geometric mean of the ratio to the first level)
    with `_low` and `_high`, `accuracy_share` and `step_share` (eta squared: the axis's share of the variance between
    the trials in its blocks; of the accuracy, and of the log step time). NaN where there is nothing to compare.

    **Arguments:**

    - `axes`: the knobs that vary on purpose and their levels. `trials`: those that succeeded.
    """
    rows = []
    for axis, levels in axes.items():
        blocks = [{trial.knobs[axis]: trial for trial in block} for block in _blocks(trials, axes.keys() - {axis})]
        compared = [block for block in blocks if len(block) > 1]
        accuracy_share = _share([(level, trial.accuracy) for block in compared for level, trial in block.items()])
        step_share = _share([(level, trial.log_step) for block in compared for level, trial in block.items()])
        for level in levels:
            own = [block[level] for block in compared if level in block]
            pairs = [(block[levels[0]], block[level]) for block in compared if level in block and levels[0] in block]
            difference = _mean_over_repeats([(first.seeds, other.seeds) for first, other in pairs])
            ratio = _mean_over_repeats([(first.processes, other.processes) for first, other in pairs])
            rows.append(
                {
                    "axis": axis,
                    "level": str(level),
                    "trials": len(own),
                    "test_accuracy": mean(trial.accuracy for trial in own),
                    "accuracy_difference": difference.value,
                    "accuracy_difference_low": difference.low,
                    "accuracy_difference_high": difference.high,
                    "step_ratio": math.exp(ratio.value),
                    "step_ratio_low": math.exp(ratio.low),
                    "step_ratio_high": math.exp(ratio.high),
                    "accuracy_share": accuracy_share,
                    "step_share": step_share,
                }
            )
    return pd.DataFrame(rows)


def interactions(axes: Axes, trials: Sequence[Repeats]) -> pd.DataFrame:
    """For each two axes: how much of the variance between trials their main effects cannot account for.

    Over the trials of those blocks in which both axes take two levels at least. The means of the levels' pairs are
    fitted by a sum of two terms, one an axis, least squares weighted by the number of trials (backfitting); what is
    left over is the interaction. In a full grid that is the interaction's eta squared of the analysis of variance.

    Columns: `first`, `second`, `trials`, `accuracy_share`, `step_share` (of the log step time), and `accuracy_noise`,
    `step_noise`: the share that the scatter of the means over seeds and processes would account for by itself in so
    many degrees of freedom; a share not well above it is no finding. NaN where there is nothing to compare.
    """
    rows = []
    for first, second in itertools.combinations(axes, 2):
        kept = [
            trial
            for block in _blocks(trials, axes.keys() - {first, second})
            if min(len({trial.knobs[axis] for trial in block}) for axis in (first, second)) > 1
            for trial in block
        ]
        row: dict[str, Any] = {"first": first, "second": second, "trials": len(kept)}
        for name, repeats in (
            ("accuracy", [list(trial.seeds.values()) for trial in kept]),
            ("step", [list(trial.processes.values()) for trial in kept]),
        ):
            places = [(trial.knobs[first], trial.knobs[second]) for trial in kept]
            known = [(place, values) for place, values in zip(places, repeats, strict=True) if values]
            row[f"{name}_share"], row[f"{name}_noise"] = _interaction(known)
        rows.append(row)
    columns = ["first", "second", "trials", "accuracy_share", "accuracy_noise", "step_share", "step_noise"]
    return pd.DataFrame(rows, columns=columns)


def _interaction(known: Sequence[tuple[tuple[Any, Any], list[float]]]) -> tuple[float, float]:
    """The interaction's share of the variance, and what noise would account for."""
    rows, row = _codes(place[0] for place, _ in known)
    columns, column = _codes(place[1] for place, _ in known)
    values = np.array([mean(repeats) for _, repeats in known])
    total = float(((values - values.mean()) ** 2).sum()) if len(values) else 0.0
    if total == 0:
        return math.nan, math.nan
    count, sums = np.zeros((rows, columns)), np.zeros((rows, columns))
    np.add.at(count, (row, column), 1)
    np.add.at(sums, (row, column), values)
    filled = count > 0
    means = np.divide(sums, count, out=np.zeros_like(sums), where=filled)
    left, down = np.zeros(rows), np.zeros(columns)
    for _ in range(BACKFITTING_ROUNDS):
        left = (count * (means - down)).sum(axis=1) / count.sum(axis=1)
        down = (count * (means - left[:, None])).sum(axis=0) / count.sum(axis=0)
    rest = float((count * (means - left[:, None] - down) ** 2).sum())
    freedom = int(filled.sum()) - rows - columns + 1
    if freedom < 1:
        return math.nan, math.nan  # two terms fit whatever there is
    scatter = [float(np.var(repeats, ddof=1)) / len(repeats) for _, repeats in known if len(repeats) > 1]
    return rest / total, min(1.0, freedom * mean(scatter) / total)


def _codes(levels: Iterable[Any]) -> tuple[int, list[int]]:
    """How many different levels there are, and the number of each."""
    numbers: dict[Any, int] = {}
    codes = [numbers.setdefault(level, len(numbers)) for level in levels]
    return len(numbers), codes


def _blocks(trials: Iterable[Repeats], others: Iterable[str]) -> list[list[Repeats]]:
    """Trials of one run that agree in the knobs `others`."""
    names = sorted(others)
    blocks: dict[tuple[Any, ...], list[Repeats]] = {}
    for trial in trials:
        blocks.setdefault((trial.run, *(trial.knobs[name] for name in names)), []).append(trial)
    return list(blocks.values())


def _mean_over_repeats(pairs: Sequence[tuple[Mapping[Any, float], Mapping[Any, float]]]) -> Estimate:
    """The mean of second minus first, averaged over pairs within each repeat (seed or process), its interval
    over repeats.
    """
    by_repeat: dict[Any, list[float]] = {}
    for first, second in pairs:
        for repeat in first.keys() & second.keys():
            by_repeat.setdefault(repeat, []).append(second[repeat] - first[repeat])
    return mean_interval([mean(values) for values in by_repeat.values()])


def _share(placed: Sequence[tuple[Any, float]]) -> float:
    """Eta squared: the variance between levels as a share of all variance between the blocks' trials."""
    pairs = [(level, value) for level, value in placed if not math.isnan(value)]
    values = np.array([value for _, value in pairs])
    total = float(((values - values.mean()) ** 2).sum()) if len(values) > 1 else 0.0
    if total == 0:
        return math.nan
    groups: dict[Any, list[float]] = {}
    for level, value in pairs:
        groups.setdefault(level, []).append(value)
    return sum(len(g) * (mean(g) - float(values.mean())) ** 2 for g in groups.values()) / total
