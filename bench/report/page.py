"""A run's report as one self-contained HTML page: no network, no scripts from elsewhere.

Names and reasons come from experiment files and
from errors: the template escapes them, and data for the script has no `<` in it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis.results import Results
from bench.records.files import write_whole
from bench.report import ranking, report
from bench.report.claims_page import HEADERS as CLAIM_HEADERS
from bench.report.claims_page import cells
from bench.text.numbers import format_share

ROWS = 100  # of the ranking at a time; the first of them are in the page also for browsers without scripts
REASONS = 200


def write_html(results: Results, plots: list[Path]) -> Path:
    """Writes `report.html` into the run's folder, with these drawings in it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    run, table, axes = results.run, results.table, results.axes
    lines = ranking.lines_of(results)
    ordered = pd.concat([results.ranked, table[table["status"] != "ok"]]) if len(table) else table
    rows = [
        {"cells": list(vars(line).values()), "levels": levels, "unwell": not line.rank}
        for line, levels in zip(lines, _levels(ordered, axes), strict=True)
    ]
    effects = report.find_effects(results)
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.experiment["started_s"]))
    page = environment.get_template("page.html.jinja").render(
        experiment=run.experiment,
        title=f"{run.experiment['name']}, {started}",
        sentence=report.sentence(results),
        front=report.front_in_words(results),
        headers=ranking.HEADERS,
        rows=rows[:ROWS],
        more=_data([[row["cells"], row["levels"]] for row in rows[ROWS:]]),
        total=len(rows),
        page_rows=ROWS,
        axes={axis: list(map(str, values)) for axis, values in axes.items() if len(values) > 1},
        reasons=[line for line in lines if not line.rank][:REASONS],
        unwell=sum(not line.rank for line in lines),
        pictures=[(path.stem.replace("_", " "), _drawing(path)) for path in plots if path.suffix == ".svg"],
        effect_headers=report.EFFECT_HEADERS,
        effects=report.effect_rows(effects.levels) if effects else [],
        shares=effects.shares if effects else [],
        share=format_share,
        claim_headers=CLAIM_HEADERS,
        claims=[cells(finding) for finding in results.findings],
        measured=report.how_measured(results),
        command=run.experiment.get("command", ""),
    )
    path = run.path / "report.html"
    write_whole(path, page)
    return path


def _levels(ordered: pd.DataFrame, axes: dict[str, list[Any]]) -> list[str]:
    """For each row the numbers of its levels on the axes, as `0,2,1`; what the filters look at."""
    places = {axis: {str(value): place for place, value in enumerate(values)} for axis, values in axes.items()}
    columns = [[places[axis].get(str(value), -1) for value in ordered[axis]] for axis in axes if len(axes[axis]) > 1]
    return [",".join(map(str, row)) for row in zip(*columns, strict=True)] if columns else [""] * len(ordered)


def _drawing(path: Path) -> Any:
    """An SVG as a part of the page; matplotlib escapes the names in it, and the XML head has no place there."""
    from markupsafe import Markup

    drawing = path.read_text(encoding="utf-8")
    return Markup(drawing[drawing.index("<svg") :])  # our own drawing


def _data(values: Any) -> Any:
    """JSON that may stand inside a script element."""
    from markupsafe import Markup

    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
