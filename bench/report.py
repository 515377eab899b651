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

from bench.record import Run
from bench.table import escape_cell, main_effects, to_markdown

if TYPE_CHECKING:
    from rich.console import Group

STYLES = {"failed": "red", "skipped": "yellow"}
LISTED = 60  # rows of a Markdown ranking; the CSV has all


def format_percent(value: float, low: float, high: float) -> str:
    """A share with its interval: `98.91 ± 0.12 %`; the wider side, where the interval is cut off at 0 or 1."""
    if math.isnan(value):
        return "-"
    half = max(high - value, value - low) * 100
    return f"{value * 100:.2f} %" if math.isnan(half) else f"{value * 100:.2f} ± {half:.2f} %"


def format_ms(value: float, low: float, high: float) -> str:
    """Milliseconds with the interval's half width in percent: `1.234 ms ± 1.1 %`; digits as the interval deserves."""
    if math.isnan(value):
        return "-"
    if math.isnan(low) or math.isnan(high):
        return f"{float(f'{value:.3g}'):g} ms"
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
    trained = ranked.dropna(subset=["test_accuracy"])
    parts = _about_accuracy(trained) if len(trained) else _about_speed(ranked)
    for status in ("failed", "skipped"):
        count = int((table["status"] == status).sum())
        if count:
            parts.append(f"{count} of {len(table)} trials {status}.")
    return " ".join(parts) or "No trial has ended yet."


def _about_accuracy(trained: pd.DataFrame) -> list[str]:
    best = next(trained.itertuples())
    step = "" if math.isnan(best.step_ms) else f", {step_of(best)} a step"
    parts = [f"Best accuracy: {best.name} with {accuracy_of(best)}{step}."]
    if not trained["learned"].any():
        parts.append("No trial learned.")
    equals = trained[trained["within_noise"]].dropna(subset=["step_ms"])
    if len(equals) > 1:
        fast = next(equals.sort_values("step_ms").itertuples())
        what = f"{fast.name} with {accuracy_of(fast)}, {step_of(fast)} a step"
        what = "the same" if fast.Index == best.Index else what
        parts.append(f"Fastest of the {len(equals)} that cannot be told apart: {what}.")
    return parts


def _about_speed(ranked: pd.DataFrame) -> list[str]:
    for phase, once in (("step", "a step"), ("backward", "a backward pass"), ("forward", "a forward pass")):
        timed = ranked.dropna(subset=[f"{phase}_images_per_s"])
        if len(timed):
            fast = timed.loc[timed[f"{phase}_images_per_s"].idxmax()]
            took = format_ms(fast[f"{phase}_ms"], fast[f"{phase}_ms_low"], fast[f"{phase}_ms_high"])
            images_per_s = format_count(fast[f"{phase}_images_per_s"])
            return [f"Most images per second: {fast['name']} with {images_per_s} ({took} {once})."]
    return ["Nothing was trained or timed."] if len(ranked) else []


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
    """The ranking for a terminal of `width` columns, then what failed or was skipped; narrow ones go without some
    columns.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

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
    parts += ["", "## How it was measured", ""]
    parts += [f"- {escape_cell(line)}" for line in how_measured(run, table)]
    command = " ".join(experiment.get("command", "").replace("`", "").split())
    parts += ["", f"Reproduce: `{command}`", ""]
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
