"""What a person reads after a sweep: a sentence, a ranking for the terminal, Markdown. The page is `bench.page`'s.

The table and its ranking go in; text comes out. Names and reasons come from experiment files and from errors, so
whatever is shown is escaped for where it is shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.claims import judge_all, read_claims
from bench.effects import interactions, main_effects
from bench.formats.numbers import format_effect
from bench.history import HEADERS as CLAIM_HEADERS
from bench.history import cells
from bench.record import Run
from bench.table import escape_cell

if TYPE_CHECKING:
    from rich.console import Group

    from bench.claims import Finding

STYLES = {"failed": "red", "skipped": "yellow"}
LISTED = 60  # rows of a ranking in Markdown or on a terminal; the CSV and the page have all
LEVELS = 24  # an axis of more levels is shown as a whole, not level by level
FRONT = 12  # trials of the Pareto front that a sentence names


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


def lines_of(table: pd.DataFrame, ranked: pd.DataFrame, most: int | None = None) -> list[Line]:
    """The ranking, of which at most `most` trials, then as many that failed or were skipped, with the reason."""
    lines = []
    for row in ranked.head(most or len(ranked)).itertuples():
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
    for row in table[table["status"] != "ok"].head(most or len(table)).itertuples():
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
    others = []
    for line in lines_of(table, ranked, LISTED):
        if line.rank:
            style = "bold" if line.note.startswith("pareto") else "dim" if line.note == "did not learn" else ""
            view.add_row(*(Text(getattr(line, field)) for field in fields), style=style)
        else:
            others.append(Text(f"{line.name}  {line.note}", style=STYLES[line.note.partition(":")[0]]))
    more = len(table) - view.row_count - len(others)
    if more:
        others.append(Text(f"{more:,} more trials in table.csv and report.html", style="dim"))
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


def front_in_words(ranked: pd.DataFrame) -> str:
    """The Pareto front in one sentence, the fastest first; "" where there is none."""
    front = ranked[ranked["pareto"]].sort_values("step_ms") if len(ranked) else ranked
    if len(front) < 2:
        return ""
    names = [f"{row.name} ({row.test_accuracy * 100:.1f} %, {row.step_ms:.3g} ms)" for row in front.itertuples()]
    more = f" and {len(names) - FRONT} more" if len(names) > FRONT else ""
    return f"No trial is both better and faster than these: {', '.join(names[:FRONT])}{more}."


@dataclass(frozen=True)
class Effects:
    """What the axes do, for a page or Markdown.

    **Arguments:**

    - `levels`: rows of `main_effects`, of axes with few levels. `shares`: a row an axis or pair of axes: its name, its
      share of the variance of accuracy and of step time, and what noise alone would be of the one and the other.
    """

    levels: pd.DataFrame
    shares: list[tuple[str, float, float, float, float]]


def find_effects(run: Run, table: pd.DataFrame) -> Effects | None:
    """Main effects and interactions; None where there is nothing to compare."""
    if not run.experiment["axes"] or int((table["status"] == "ok").sum()) < 2:
        return None
    levels, pairs = main_effects([run], table), interactions([run], table)
    few = levels.groupby("axis")["axis"].transform("size") <= LEVELS
    rows = levels.drop_duplicates("axis")[["axis", "accuracy_share", "step_share"]].itertuples(index=False, name=None)
    shares = [(str(axis), float(accuracy), float(step), math.nan, math.nan) for axis, accuracy, step in rows]
    shares += [
        (f"{row.first} with {row.second}", row.accuracy_share, row.step_share, row.accuracy_noise, row.step_noise)
        for row in pairs.itertuples()
        if row.trials
    ]
    return Effects(levels[few], [row for row in shares if not (math.isnan(row[1]) and math.isnan(row[2]))])


def format_share(share: float, noise: float = math.nan) -> str:
    """`12 %`, and beside it what noise alone would make: `12 % (noise 5 %)`."""
    if math.isnan(share):
        return "-"
    return f"{share * 100:.0f} %" + ("" if math.isnan(noise) else f" (noise {noise * 100:.0f} %)")


def effect_rows(levels: pd.DataFrame) -> list[list[str]]:
    """Axis, level, trials, mean accuracy, points to the first level, step time as a multiple of the first's."""
    rows = []
    first = ""
    for row in levels.itertuples():
        if row.axis != first:
            first = row.axis
            accuracy = "-" if math.isnan(row.test_accuracy) else f"{row.test_accuracy * 100:.2f} %"
            rows.append([str(row.axis), str(row.level), str(row.trials), accuracy, "first", "first"])
            continue
        points = [100 * getattr(row, f"accuracy_difference{bound}") for bound in ("", "_low", "_high")]
        ratios = [getattr(row, f"step_ratio{bound}") for bound in ("", "_low", "_high")]
        accuracy = "-" if math.isnan(row.test_accuracy) else f"{row.test_accuracy * 100:.2f} %"
        cells = [row.axis, row.level, str(row.trials), accuracy]
        rows.append([*map(str, cells), format_effect("+z.2f", *points), format_effect(".3f", *ratios)])
    return rows


EFFECT_HEADERS = ["axis", "level", "trials", "mean accuracy", "points to the first", "step time, times the first's"]
SHARE_HEADERS = ["axes", "share of variance: accuracy", "step time"]


def markdown_table(headers: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    return lines + ["| " + " | ".join(map(escape_cell, row)) + " |" for row in rows]


def findings_of(run: Run) -> list[Finding]:
    """The claims of the literature that this run alone can be held against; none for most experiments."""
    name = run.experiment["name"]
    claims = [claim for claim in read_claims() if claim.experiments == {name}]
    return judge_all(claims, {name: run}) if claims else []  # to judge means to read all records once more


def report_markdown(run: Run, table: pd.DataFrame, ranked: pd.DataFrame) -> str:
    """The whole report as Markdown, for a pull request or an MLflow description."""
    experiment = run.experiment
    lines = lines_of(table, ranked, LISTED)
    parts = [f"# {escape_cell(experiment['name'])}", ""]
    if experiment["question"]:
        parts += [f"*{escape_cell(experiment['question'])}*", ""]
    parts += [escape_cell(sentence(table, ranked)), "", escape_cell(front_in_words(ranked)), ""]
    parts += markdown_table(HEADERS, [list(vars(line).values()) for line in lines])
    if len(table) > len(lines):
        parts.append(f"\n{len(table) - len(lines):,} more in table.csv.")
    effects = find_effects(run, table)
    if effects is not None and len(effects.levels):
        parts += ["", "## Main effects", "", *markdown_table(EFFECT_HEADERS, effect_rows(effects.levels))]
    if effects is not None and effects.shares:
        rows = [[name, format_share(a, na), format_share(s, ns)] for name, a, s, na, ns in effects.shares]
        parts += ["", "## Share of the variance", "", *markdown_table(SHARE_HEADERS, rows)]
    findings = findings_of(run)
    if findings:
        rows = [list(cells(finding)) for finding in findings]
        parts += ["", "## Claims of the literature", "", *markdown_table(list(CLAIM_HEADERS), rows)]
    parts += ["", "## How it was measured", ""]
    parts += [f"- {escape_cell(line)}" for line in how_measured(run, table)]
    command = " ".join(experiment.get("command", "").replace("`", "").split())
    parts += ["", f"Reproduce: `{command}`", ""]
    return "\n".join(parts)
