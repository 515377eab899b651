"""One ranking of the trials that succeeded: the order, the Pareto front, and what cannot be told from the best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis.repeats import Repeats
from bench.statistics.intervals import mean_interval

CHANCES = 2.0  # a trial right less than this many times as often as a guess did not learn


def pareto_front(table: pd.DataFrame) -> pd.Series[bool]:
    """Which trials no other beats in both accuracy and step time."""
    order = table.dropna(subset=["test_accuracy", "step_ms"]).sort_values(
        ["step_ms", "test_accuracy"], ascending=[True, False], kind="stable"
    )
    accuracy, step = order["test_accuracy"].to_numpy(float), order["step_ms"].to_numpy(float)
    best = np.maximum.accumulate(accuracy)
    before = np.concatenate([[-np.inf], best[:-1]])
    # Better than all that are faster, or the equal of one that is on the front.
    equal = np.concatenate([[False], (accuracy[1:] == accuracy[:-1]) & (step[1:] == step[:-1])])
    front = accuracy > before
    for place in np.flatnonzero(equal):
        front[place] = front[place - 1]
    return pd.Series(front, index=order.index, dtype=bool).reindex(table.index, fill_value=False)


def rank(table: pd.DataFrame, repeats: Sequence[Repeats]) -> pd.DataFrame:
    """The trials that succeeded, best first, with `rank`, `learned`, `pareto` and `within_noise`.

    `learned`: more than twice as often right as a guess among the classes; `pareto` is the front of those alone.

    Ordered by accuracy, then by step time. `within_noise` marks the trials whose mean accuracy cannot be told from the
    best one's: the 95 % interval of the difference over seeds (paired by seed, since all trials share them) includes
    0, or is not known. Trials without accuracy (synthetic data) are ordered by step time, and none is marked.

    **Arguments:**

    - `table`: of `bench.analysis.table.tabulate`, or a selection of its rows. `repeats`: of all its rows.
    """
    ranked = table[table["status"] == "ok"].sort_values(
        ["test_accuracy", "step_ms"], ascending=[False, True], na_position="last", kind="stable"
    )
    learned = ranked["test_accuracy"] > CHANCES / ranked["classes"].astype(float)
    front = pareto_front(ranked[learned]).reindex(ranked.index, fill_value=False)
    ranked = ranked.assign(rank=range(1, len(ranked) + 1), learned=learned, pareto=front)
    if ranked.empty:
        return ranked.assign(within_noise=pd.Series(dtype=bool))
    accuracies = [repeats[label].seeds for label in ranked.index]
    best, marks = accuracies[0], []
    for other in accuracies:
        difference = mean_interval([best[seed] - other[seed] for seed in best.keys() & other.keys()])
        marks.append(difference.n > 0 and not difference.low > 0)
    return ranked.assign(within_noise=marks)


def machine_warning(table: pd.DataFrame) -> str | None:
    """One line if times of different machines or torch versions, or of runs at different thread counts, stand in one
    table.
    """
    timed = table.dropna(subset=["step_ms"])
    columns = ["machine", "torch"]
    # An axis of threads within one run was asked for, and stands in the trials' names.
    if timed.groupby("run")["threads"].agg(frozenset).nunique() > 1:
        columns.append("threads")
    mixed = {column: sorted(map(str, timed[column].unique())) for column in columns}
    mixed = {column: values for column, values in mixed.items() if len(values) > 1}
    if not mixed:
        return None
    listed = "; ".join(f"{column} {', '.join(values)}" for column, values in mixed.items())
    return f"times from different places stand side by side and cannot be ranked against each other: {listed}"
