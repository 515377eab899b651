"""The ranking as rows of text, and as a table for the terminal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.experiment.trial import PHASES
from bench.text.numbers import format_count, format_mib, format_ms, format_percent

if TYPE_CHECKING:
    from rich.console import Group

    from bench.analysis.results import Results


STYLES = {"failed": "red", "skipped": "yellow"}
LISTED = 60  # rows of a ranking in Markdown or on a terminal; the CSV and the page have all


def accuracy_of(row: Any) -> str:
    """A row's test accuracy with its interval."""
    return format_percent(row.test_accuracy, row.test_accuracy_low, row.test_accuracy_high)


def step_of(row: Any) -> str:
    """A row's step time with its interval."""
    return format_ms(row.step_ms, row.step_ms_low, row.step_ms_high)


@dataclass(frozen=True)
class Line:
    """One trial of a ranking, as text."""

    rank: str
    name: str
    accuracy: str
    forward: str
    backward: str
    step: str
    images_per_s: str
    memory_mib: str
    note: str


NARROW = (
    (110, ("forward", "backward", "memory_mib")),
    (76, ("images_per_s",)),
    (64, ("note",)),
    (50, ("step",)),
)
"""What a terminal of fewer columns goes without, so that the names stay."""

HEADERS = ["#", "trial", "test accuracy", "forward", "backward", "step", "images/s", "MiB", ""]


def lines_of(results: Results, most: int | None = None) -> list[Line]:
    """The ranking, of which at most `most` trials, then as many that failed or were skipped, with the reason."""
    lines, table, ranked = [], results.table, results.ranked
    for row in ranked.head(most or len(ranked)).itertuples():
        notes = ["pareto"] if row.pareto else []
        notes += ["≈ best"] if row.within_noise and row.rank > 1 else []
        notes += ["did not learn"] if not (row.learned or math.isnan(row.test_accuracy)) else []
        phases = {
            phase: format_ms(
                getattr(row, f"{phase}_ms"), getattr(row, f"{phase}_ms_low"), getattr(row, f"{phase}_ms_high")
            )
            for phase in PHASES
        }
        lines.append(
            Line(
                str(row.rank), str(row.name), accuracy_of(row), phases["forward"], phases["backward"], phases["step"],
                format_count(row.images_per_s), format_mib(row.peak_memory_mib), ", ".join(notes),
            )
        )  # fmt: skip
    lines.extend(
        Line("", str(row.name), "", "", "", "", "", "", f"{row.status}: {row.reason}")
        for row in table[table["status"] != "ok"].head(most or len(table)).itertuples()
    )
    return lines


def terminal_ranking(results: Results, width: int) -> Group:
    """The ranking for a terminal of `width` columns, then what failed or was skipped; narrow ones go without some
    columns.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    run = results.run
    title = Text(f"{run.experiment['name']}, run {run.path.name}")
    view = Table(title=title, title_justify="left", pad_edge=False, box=None)
    left_out = {field for least, fields in NARROW if width < least for field in fields}
    for field, header in zip(Line.__dataclass_fields__, HEADERS, strict=True):
        if field not in left_out:
            if field in ("name", "note"):
                view.add_column(header, overflow="fold", min_width=8)
            else:
                view.add_column(header, justify="right", no_wrap=True)
    fields = [field for field in Line.__dataclass_fields__ if field not in left_out]
    others = []
    for line in lines_of(results, LISTED):
        if line.rank:
            style = "bold" if line.note.startswith("pareto") else "dim" if line.note == "did not learn" else ""
            view.add_row(*(Text(getattr(line, field)) for field in fields), style=style)
        else:
            others.append(Text(f"{line.name}  {line.note}", style=STYLES[line.note.partition(":")[0]]))
    more = len(results.table) - view.row_count - len(others)
    if more:
        others.append(Text(f"{more:,} more trials in table.csv and report.html", style="dim"))
    view.caption = "pareto: no trial is both better and faster.  ≈ best: accuracy not told from the best's (95 %)."
    view.caption_justify = "left"
    return Group(view, *others)
