"""What is derived from a run's records: the table, the ranking, what each axis does, what the literature's claims are
worth. Each is computed once, when it is first asked for, and handed to whoever shows it.
"""

from __future__ import annotations

import functools
from typing import Any

import pandas as pd

from bench.analysis import effects
from bench.analysis.claims import Finding, judge_all, read_claims
from bench.analysis.ranking import rank
from bench.analysis.repeats import Repeats
from bench.analysis.table import select, tabulate
from bench.records.reading import Reading
from bench.records.run import Run


class Results:
    """What one reading of a run's records says; of several runs, what they say side by side.

    The records are read when something is first asked for, and not again: terminal, report, MLflow and exit code look
    at the same ones.

    **Arguments:**

    - `reading`, `more`: of the run, and of others to stand in the same table.
    - `where`: a pandas expression; the table, and what follows from it, have only the trials for which it holds.

    What needs the table raises `TableError` for a `where` that cannot be understood; everything raises `RecordError`
    for damaged records.
    """

    def __init__(self, reading: Reading, *more: Reading, where: str | None = None) -> None:
        self.reading = reading
        self.run = reading.run
        self._readings = [reading, *more]
        self._where = where

    @classmethod
    def of(cls, *runs: Run, where: str | None = None) -> Results:
        """The results of one or more runs."""
        return cls(*map(Reading, runs), where=where)

    @functools.cached_property
    def _tabulated(self) -> tuple[pd.DataFrame, list[Repeats]]:
        return tabulate(self._readings)

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """One row a trial, in the order of the plans, with the columns of `bench.analysis.table.tabulate`."""
        table = self._tabulated[0]
        return select(table, self._where) if self._where else table

    @property
    def repeats(self) -> dict[str, Repeats]:
        """The repeats of each trial of the table by its key; of a trial in several runs, the last one's."""
        chosen = (self._tabulated[1][label] for label in self.table.index)
        return {repeats.key: repeats for repeats in chosen}

    @functools.cached_property
    def ranked(self) -> pd.DataFrame:
        """The trials that succeeded, best first, as `bench.analysis.ranking.rank` orders and marks them."""
        return rank(self.table, self._tabulated[1])

    @property
    def axes(self) -> dict[str, list[Any]]:
        """Each knob that varies on purpose and its levels, in the experiment's order."""
        axes: dict[str, list[Any]] = {}
        for reading in self._readings:
            for axis, levels in reading.run.experiment["axes"].items():
                axes[axis] = list(dict.fromkeys([*axes.get(axis, []), *levels]))
        return axes

    @functools.cached_property
    def effects(self) -> pd.DataFrame:
        """The main effect of each level of each axis: `bench.analysis.effects.main_effects`."""
        return effects.main_effects(self.axes, self._succeeded)

    @functools.cached_property
    def interactions(self) -> pd.DataFrame:
        """What main effects cannot account for: `bench.analysis.effects.interactions`."""
        return effects.interactions(self.axes, self._succeeded)

    @property
    def _succeeded(self) -> list[Repeats]:
        chosen = (self._tabulated[1][label] for label in self.table.index)
        return [repeats for repeats in chosen if repeats.ok]

    @functools.cached_property
    def findings(self) -> list[Finding]:
        """The claims of the literature that the (first) run alone can be held against; none for most experiments."""
        name = self.run.experiment["name"]
        claims = [claim for claim in read_claims() if claim.experiments == {name}]
        return judge_all(claims, {name: self.reading}) if claims else []
