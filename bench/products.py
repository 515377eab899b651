"""What is made of a run's records when it ended: tables, plots, Markdown, one HTML page, and the ranking.

Records go in; files beside them come out. All of it can be made again at any time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import report
from bench.plots import draw_plots
from bench.record import Run
from bench.table import build_table, machine_warning, main_effects, select, write_table
from bench.table import to_markdown as table_to_markdown

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table


@dataclass(frozen=True)
class Products:
    """The table, the files written, and what to print."""

    table: pd.DataFrame
    paths: list[Path]
    sentence: str
    warnings: list[str]
    ranking: Callable[[int], Table]


def make_table(run: Run) -> pd.DataFrame:
    """One row a trial."""
    return build_table([run])


def make_products(run: Run) -> Products:
    """Writes everything into the run's folder and returns it."""
    table = build_table([run])
    paths = write_table(run)
    paths += draw_plots(run, table)
    markdown = run.path / "report.md"
    temporary = markdown.with_suffix(".md.part")
    temporary.write_text(report.to_markdown(run, table), encoding="utf-8")
    os.replace(temporary, markdown)
    paths += [markdown, report.write_html(run, table)]
    warning = machine_warning(table)
    return Products(
        table=table,
        paths=paths,
        sentence=report.sentence(table),
        warnings=[warning] if warning else [],
        ranking=lambda width: report.terminal_ranking(table, run, width),
    )


def format_table(runs: Sequence[Run], form: str, *, where: str | None, effects: bool, width: int) -> str | Table:
    """The table of one or more runs as `md`, `csv`, `json` or, for `terminal`, a ranking."""
    table = build_table(runs)
    if where:
        table = select(table, where)
    if effects:
        axes = {knob: values for run in runs for knob, values in run.experiment["axes"].items()}
        table = main_effects(table, axes)
    if form == "csv":
        return str(table.to_csv(index=False))
    if form == "json":
        return str(table.to_json(orient="records", indent=1))
    if form == "md" or effects:
        return table_to_markdown(table)
    return report.terminal_ranking(table, runs[0], width)
