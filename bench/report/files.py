"""What is made of a run's records when it ended: tables, plots, Markdown, one HTML page, and the ranking.

Records go in; files beside them come out. All of it can be made again at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.analysis.effects import main_effects
from bench.analysis.ranking import machine_warning, rank
from bench.analysis.table import build_table, select, write_table
from bench.records.journal import write_whole
from bench.records.run import Run
from bench.text.markdown import write_frame

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True)
class Products:
    """The table, the files written, and what to print."""

    table: pd.DataFrame
    paths: list[Path]
    sentence: str
    warnings: list[str]
    ranking: Callable[[int], Group]


def make_products(run: Run) -> Products:
    """Writes everything into the run's folder and returns it."""
    # Here and below: a CSV of ten thousand trials is not to wait for what draws and explains them.
    from bench.report import report
    from bench.report.page import write_html
    from bench.report.plots import draw_plots
    from bench.report.ranking import terminal_ranking

    table = build_table([run])
    ranked = rank(table, [run])
    paths = write_table(run, table)
    plots = draw_plots(run, table, ranked)
    markdown = run.path / "report.md"
    write_whole(markdown, report.report_markdown(run, table, ranked))
    page = write_html(run, table, ranked, plots)
    warning = machine_warning(table)
    return Products(
        table=table,
        paths=[*paths, *plots, markdown, page],
        sentence=report.sentence(table, ranked),
        warnings=[warning] if warning else [],
        ranking=lambda width: terminal_ranking(table, ranked, run, width),
    )


def find_products(run: Run) -> list[Path]:
    """The files that were made of a run's records; made now if they are missing or older than the records."""
    page, (_, changed_ns) = run.path / "report.html", run.records_file.state()
    if not page.exists() or page.stat().st_mtime_ns < changed_ns:
        return make_products(run).paths
    names = ("table.csv", "table.parquet", "samples.parquet", "report.md", "report.html", "plots/*")
    return sorted(path for name in names for path in run.path.glob(name))


def format_table(runs: Sequence[Run], form: str, *, where: str | None, effects: bool, width: int) -> str | Group:
    """The table of one or more runs as `md`, `csv`, `json` or, for `terminal`, a ranking."""
    table = build_table(runs)
    if where:
        table = select(table, where)
    if effects:
        table = main_effects(runs, table)
    if form == "csv":
        return str(table.to_csv(index=False))
    if form == "json":
        return str(table.to_json(orient="records", indent=1))
    if form == "md" or effects:
        return write_frame(table)
    from bench.report.ranking import terminal_ranking

    ranking = terminal_ranking(table, rank(table, runs), runs[0], width)
    if warning := machine_warning(table):
        ranking.renderables.append(warning)
    return ranking
