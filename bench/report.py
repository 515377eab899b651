"""What a person reads after a sweep: a sentence, a ranking for the terminal, Markdown, and one self-contained HTML
page.

The table and its ranking go in; text comes out. Names and reasons come from experiment files and from errors, so
whatever is shown is escaped for where it is shown.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.claims import judge_all, read_claims
from bench.history import HEADERS as CLAIM_HEADERS
from bench.history import cells, markdown_table
from bench.record import Run
from bench.table import escape_cell, main_effects, to_markdown

if TYPE_CHECKING:
    from rich.console import Group

    from bench.claims import Finding

STYLES = {"failed": "red", "skipped": "yellow"}
LISTED = 60  # rows of a Markdown ranking; the CSV has all


def format_percent(value: float, low: float, high: float) -> str:
    """A share with its interval: `98.91 ± 0.12 %`."""
    if math.isnan(value):
        return "-"
    half = (high - low) / 2 * 100
    return f"{value * 100:.2f} %" if math.isnan(half) else f"{value * 100:.2f} ± {half:.2f} %"


def format_ms(value: float, low: float, high: float) -> str:
    """Milliseconds with the interval's half width in percent: `1.234 ms ± 1.1 %`; digits as the interval deserves."""
    if math.isnan(value):
        return "-"
    if math.isnan(low) or math.isnan(high):
        return f"{value:.3g} ms"
    half = (high - low) / 2
    digits = max(0, min(6, 1 - math.floor(math.log10(half)))) if half > 0 else 4
    return f"{value:.{digits}f} ms ± {half / value * 100:.1f} %"


def format_count(value: float) -> str:
    """A count in groups of three, three significant digits above a thousand: `12,300`."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if value < 1_000 else f"{float(f'{value:.3g}'):,.0f}"


def accuracy_of(row: Any) -> str:
    """A row's test accuracy with its interval."""
    return format_percent(row.test_accuracy, row.test_accuracy_low, row.test_accuracy_high)


def step_of(row: Any) -> str:
    """A row's step time with its interval."""
    return format_ms(row.step_ms, row.step_ms_low, row.step_ms_high)


def sentence(table: pd.DataFrame, ranked: pd.DataFrame) -> str:
    """The answer in one or two sentences: the best accuracy, the fastest within its noise, and what was lost."""
    parts = []
    learned = ranked.dropna(subset=["test_accuracy"])
    timed = ranked.dropna(subset=["step_ms"])
    if len(learned):
        best = next(learned.itertuples())
        parts.append(f"Best accuracy: {best.name} with {accuracy_of(best)}.")
        equals = learned[learned["within_noise"]].dropna(subset=["step_ms"])
        if len(equals):
            fast = next(equals.sort_values("step_ms").itertuples())
            same = "itself" if fast.name == best.name else fast.name
            parts.append(
                f"Fastest of the {len(equals)} that cannot be told from it: {same} at {step_of(fast)} a step"
                + (f" and {accuracy_of(fast)}." if fast.name != best.name else ".")
            )
    elif len(timed):
        fast = max(timed.itertuples(), key=lambda row: row.images_per_s)
        parts.append(
            f"Most images per second: {fast.name} with {format_count(fast.images_per_s)} ({step_of(fast)} a step)."
        )
    for status in ("failed", "skipped"):
        count = int((table["status"] == status).sum())
        if count:
            parts.append(f"{count} of {len(table)} trials {status}.")
    return " ".join(parts) or "No trial has ended yet."


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


HEADERS = ["#", "trial", "test accuracy", "forward", "backward", "step", "images/s", "MiB", ""]


def lines_of(table: pd.DataFrame, ranked: pd.DataFrame) -> list[Line]:
    """The ranking, then what failed or was skipped, with the reason."""
    lines = []
    for row in ranked.itertuples():
        notes = ["pareto"] if row.pareto else []
        notes += ["≈ best"] if row.within_noise and row.rank > 1 else []
        notes += ["did not learn"] if not (row.learned or math.isnan(row.test_accuracy)) else []
        phases = {
            phase: format_ms(
                getattr(row, f"{phase}_ms"), getattr(row, f"{phase}_ms_low"), getattr(row, f"{phase}_ms_high")
            )
            for phase in ("forward", "backward", "step")
        }
        memory = "-" if math.isnan(row.peak_memory_mib) else f"{row.peak_memory_mib:.1f}"
        lines.append(
            Line(
                str(row.rank), str(row.name), accuracy_of(row), phases["forward"], phases["backward"], phases["step"],
                format_count(row.images_per_s), memory, ", ".join(notes),
            )
        )  # fmt: skip
    for row in table[table["status"] != "ok"].itertuples():
        lines.append(Line("", str(row.name), "", "", "", "", "", "", f"{row.status}: {row.reason}"))
    return lines


def terminal_ranking(table: pd.DataFrame, ranked: pd.DataFrame, run: Run, width: int) -> Group:
    """The ranking for a terminal of `width` columns, then what failed or was skipped; narrow ones go without the
    phases.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    view = Table(title=f"{run.experiment['name']}, run {run.path.name}", title_justify="left", pad_edge=False, box=None)
    fields = ["rank", "name", "accuracy", "forward", "backward", "step", "images_per_s", "memory_mib", "note"]
    if width < 110:
        fields = [name for name in fields if name not in ("forward", "backward", "memory_mib")]
    headers = dict(zip(Line.__dataclass_fields__, HEADERS, strict=True))
    for field in fields:
        left = field in ("name", "note")
        view.add_column(headers[field], justify="left" if left else "right", no_wrap=field != "name", overflow="fold")
    lines, others = lines_of(table, ranked), []
    for line in lines:
        if line.rank:
            style = "bold" if line.note.startswith("pareto") else "dim" if line.note == "did not learn" else ""
            view.add_row(*(Text(getattr(line, field)) for field in fields), style=style)
        else:
            others.append(Text(f"{line.name}  {line.note}", style=STYLES[line.note.partition(":")[0]]))
    view.caption = "pareto: no trial is both better and faster.  ≈ best: accuracy not told from the best's (95 %)."
    view.caption_justify = "left"
    return Group(view, *others)


def how_measured(run: Run, table: pd.DataFrame) -> list[str]:
    """How the numbers came about, a line each."""
    settings, machine = run.experiment["timing"], run.machine
    seeds = ", ".join(map(str, run.experiment["seeds"]))
    lines = [
        f"Accuracy: mean over seeds {seeds} with Student's 95 % interval, at the epoch that was best on the validation "
        "images."
    ]
    if settings["enabled"] and table["processes"].max() > 0:
        lines.append(
            f"Times: {int(table['processes'].max())} fresh processes, one after another, nothing else running; in "
            f"each, {settings['rounds']} rounds of blocks of about {settings['block_ms']:g} ms, all trials and phases "
            "in a new random order each round. The interval is over processes. "
            f"Target: a half width of {settings['target_ci'] * 100:g} %, or {settings['budget_s']:g} s."
        )
        stopped = table["timing_stopped"].value_counts()
        reached = ", ".join(f"{count} {name}" for name, count in stopped.items() if name)
        lines.append(
            f"Timing stopped: {reached} (narrow: every interval reached the target; budget: time was up first)."
        )
    pins = ", ".join(f"{name}={value}" for name, value in machine.get("environment", {}).items() if "MALLOC" in name)
    lines.append(
        f"Machine {machine.get('id', '')}: {machine.get('cpu', '')}, {machine.get('cores', '')} cores, "
        f"{machine.get('memory_bytes', 0) / 2**30:.0f} GiB; {', '.join(machine.get('gpu') or []) or 'no GPU'}; "
        f"torch {machine.get('torch', '')}, Python {machine.get('python', '')}, kernel {machine.get('kernel', '')}."
    )
    if pins:
        lines.append(f"Allocator of the workers: {pins}.")
    git = run.experiment.get("git", {})
    if git.get("commit"):
        lines.append(f"Commit {git['commit'][:12]}{' with uncommitted changes' if git.get('dirty') else ''}.")
    return lines


def findings_of(run: Run) -> list[Finding]:
    """The claims of the literature that this run alone can be held against; none for most experiments."""
    name = run.experiment["name"]
    return judge_all([claim for claim in read_claims() if claim.experiments == {name}], {name: run})


def report_markdown(run: Run, table: pd.DataFrame, ranked: pd.DataFrame) -> str:
    """The whole report as Markdown, for a pull request or an MLflow description."""
    experiment = run.experiment
    lines = lines_of(table, ranked)
    parts = [f"# {escape_cell(experiment['name'])}", ""]
    if experiment["question"]:
        parts += [f"*{escape_cell(experiment['question'])}*", ""]
    parts += [escape_cell(sentence(table, ranked)), "", "| " + " | ".join(HEADERS) + " |", "|" + "---|" * len(HEADERS)]
    for line in lines[:LISTED]:
        parts.append("| " + " | ".join(escape_cell(value) for value in vars(line).values()) + " |")
    if len(lines) > LISTED:
        parts.append(f"\n{len(lines) - LISTED} more in table.csv.")
    if experiment["axes"] and len(ranked) > 1:
        parts += ["", "## Main effects", "", to_markdown(main_effects([run], table))]
    findings = findings_of(run)
    if findings:
        parts += ["", "## Claims of the literature", "", markdown_table(findings)]
    parts += ["", "## How it was measured", ""]
    parts += [f"- {escape_cell(line)}" for line in how_measured(run, table)]
    parts += ["", f"Reproduce: `{experiment.get('command', '').replace('`', '')}`", ""]
    return "\n".join(parts)


def write_html(run: Run, table: pd.DataFrame, ranked: pd.DataFrame, plots: list[Path]) -> Path:
    """Writes `report.html` into the run's folder: one page without network or scripts from elsewhere."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    effects = main_effects([run], table) if run.experiment["axes"] and len(ranked) > 1 else None
    pictures = []
    for path in plots:
        if path.suffix == ".svg":
            drawing = path.read_text(encoding="utf-8")
            # matplotlib escapes the names in it; the XML head has no place inside a page.
            pictures.append((path.stem.replace("_", " "), Markup(drawing[drawing.index("<svg") :])))
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.experiment["started_s"]))
    page = environment.get_template("report.html.jinja").render(
        experiment=run.experiment,
        title=f"{run.experiment['name']}, {started}",
        sentence=sentence(table, ranked),
        headers=HEADERS,
        rows=[list(zip(vars(line).values(), _sort_keys(line), strict=True)) for line in lines_of(table, ranked)],
        pictures=pictures,
        effects=[] if effects is None else list(effects.itertuples()),
        percent=format_percent,
        nan=math.isnan,
        claim_headers=CLAIM_HEADERS,
        claims=[cells(finding) for finding in findings_of(run)],
        measured=how_measured(run, table),
        command=run.experiment.get("command", ""),
    )
    path = run.path / "report.html"
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(path)
    return path


def _sort_keys(line: Line) -> list[str]:
    """What each cell of a row sorts by: its first number, or its text."""
    keys = []
    for value in vars(line).values():
        first = value.replace(",", "").partition(" ")[0]
        try:
            keys.append(f"{float(first):.9g}")
        except ValueError:
            keys.append("" if value in ("", "-") else value)
    return keys
