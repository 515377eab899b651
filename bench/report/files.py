"""What is made of a run's records when it ended: tables, plots, Markdown, one HTML page, and the ranking.

All of it can be made again from the records at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.analysis.ranking import machine_warning
from bench.analysis.results import Results
from bench.analysis.table import write_table
from bench.records.files import write_whole
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


def make_products(results: Results) -> Products:
    """Writes everything into the run's folder and returns it."""
    # Here and below: a CSV of ten thousand trials is not to wait for what draws and explains them.
    from bench.report import report
    from bench.report.page import write_html
    from bench.report.plots import draw_plots
    from bench.report.ranking import terminal_ranking

    paths = write_table(results.reading, results.table)
    plots = draw_plots(results)
    markdown = results.run.path / "report.md"
    write_whole(markdown, report.report_markdown(results))
    page = write_html(results, plots)
    warning = machine_warning(results.table)
    return Products(
        table=results.table,
        paths=[*paths, *plots, markdown, page],
        sentence=report.sentence(results),
        warnings=[warning] if warning else [],
        ranking=lambda width: terminal_ranking(results, width),
    )


def find_products(results: Results) -> list[Path]:
    """The files that were made of a run's records; made now if they are missing or older than the records."""
    run = results.run
    page, (_, changed_ns) = run.path / "report.html", run.records_file.state()
    if not page.exists() or page.stat().st_mtime_ns < changed_ns:
        return make_products(results).paths
    names = ("table.csv", "table.parquet", "samples.parquet", "report.md", "report.html", "plots/*")
    return sorted(path for name in names for path in run.path.glob(name))


def format_table(results: Results, form: str, *, effects: bool, width: int) -> str | Group:
    """The table as `md`, `csv`, `json` or, for `terminal`, a ranking; with `effects` the main effects instead."""
    table = results.effects if effects else results.table
    if form == "csv":
        return str(table.to_csv(index=False))
    if form == "json":
        return str(table.to_json(orient="records", indent=1))
    if form == "md" or effects:
        return write_frame(table)
    from bench.report.ranking import terminal_ranking

    ranking = terminal_ranking(results, width)
    if warning := machine_warning(table):
        ranking.renderables.append(warning)
    return ranking
