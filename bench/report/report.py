"""What a person reads after a sweep: a sentence, a ranking for the terminal, Markdown. The page is
`bench.report.page`'s.

Names and reasons come from experiment files and from errors, so
whatever is shown is escaped for where it is shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.claims_page import HEADERS as CLAIM_HEADERS
from bench.report.claims_page import cells
from bench.report.ranking import HEADERS, LISTED, accuracy_of, lines_of, step_of
from bench.text.markdown import escape, write_table
from bench.text.numbers import (
    format_count,
    format_gib,
    format_ms,
    format_percent,
    format_points,
    format_ratio,
    format_share,
)

if TYPE_CHECKING:
    from bench.analysis.results import Results


LEVELS = 24  # an axis of more levels is shown as a whole, not level by level
FRONT = 12  # trials of the Pareto front that a sentence names


def sentence(results: Results) -> str:
    """The answer in one or two sentences: the best accuracy, the fastest within its noise, and what was lost."""
    table, ranked = results.table, results.ranked
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


def how_measured(results: Results) -> list[str]:
    """How the numbers came about, a line each."""
    run, table = results.run, results.table
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
        f"{format_gib(machine.get('memory_bytes', 0))}; {', '.join(machine.get('gpu') or []) or 'no GPU'}; "
        f"torch {machine.get('torch', '')}, Python {machine.get('python', '')}, kernel {machine.get('kernel', '')}."
    )
    if pins:
        lines.append(f"Allocator of the workers: {pins}.")
    git = run.experiment.get("git", {})
    if git.get("commit"):
        lines.append(f"Commit {git['commit'][:12]}{' with uncommitted changes' if git.get('dirty') else ''}.")
    return lines


def front_in_words(results: Results) -> str:
    """The Pareto front in one sentence, the fastest first; "" where there is none."""
    ranked = results.ranked
    front = ranked[ranked["pareto"]].sort_values("step_ms") if len(ranked) else ranked
    if len(front) < 2:
        return ""
    names = [
        f"{row.name} ({format_percent(row.test_accuracy, digits=1)}, {format_ms(row.step_ms)})"
        for row in front.itertuples()
    ]
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


def find_effects(results: Results) -> Effects | None:
    """Main effects and interactions; None where there is nothing to compare."""
    if not results.axes or int((results.table["status"] == "ok").sum()) < 2:
        return None
    levels, pairs = results.effects, results.interactions
    few = levels.groupby("axis")["axis"].transform("size") <= LEVELS
    rows = levels.drop_duplicates("axis")[["axis", "accuracy_share", "step_share"]].itertuples(index=False, name=None)
    shares = [(str(axis), float(accuracy), float(step), math.nan, math.nan) for axis, accuracy, step in rows]
    shares += [
        (f"{row.first} with {row.second}", row.accuracy_share, row.step_share, row.accuracy_noise, row.step_noise)
        for row in pairs.itertuples()
        if row.trials
    ]
    return Effects(levels[few], [row for row in shares if not (math.isnan(row[1]) and math.isnan(row[2]))])


def effect_rows(levels: pd.DataFrame) -> list[list[str]]:
    """Axis, level, trials, mean accuracy, points to the first level, step time as a multiple of the first's."""
    rows = []
    first = ""
    for row in levels.itertuples():
        cells = [str(row.axis), str(row.level), str(row.trials), format_percent(row.test_accuracy)]
        if row.axis != first:
            first = row.axis
            rows.append([*cells, "first", "first"])
            continue
        points = [100 * getattr(row, f"accuracy_difference{bound}") for bound in ("", "_low", "_high")]
        ratios = [getattr(row, f"step_ratio{bound}") for bound in ("", "_low", "_high")]
        rows.append([*cells, format_points(*points), format_ratio(*ratios)])
    return rows


EFFECT_HEADERS = ["axis", "level", "trials", "mean accuracy", "points to the first", "step time, times the first's"]
SHARE_HEADERS = ["axes", "share of variance: accuracy", "step time"]


def report_markdown(results: Results) -> str:
    """The whole report as Markdown, for a pull request or an MLflow description."""
    experiment, table = results.run.experiment, results.table
    lines = lines_of(results, LISTED)
    parts = [f"# {escape(experiment['name'])}", ""]
    if experiment["question"]:
        parts += [f"*{escape(experiment['question'])}*", ""]
    parts += [escape(sentence(results)), "", escape(front_in_words(results)), ""]
    parts += write_table(HEADERS, (vars(line).values() for line in lines))
    if len(table) > len(lines):
        parts.append(f"\n{len(table) - len(lines):,} more in table.csv.")
    effects = find_effects(results)
    if effects is not None and len(effects.levels):
        parts += ["", "## Main effects", "", *write_table(EFFECT_HEADERS, effect_rows(effects.levels))]
    if effects is not None and effects.shares:
        rows = [[name, format_share(a, na), format_share(s, ns)] for name, a, s, na, ns in effects.shares]
        parts += ["", "## Share of the variance", "", *write_table(SHARE_HEADERS, rows)]
    if results.findings:
        parts += ["", "## Claims of the literature", "", *write_table(CLAIM_HEADERS, map(cells, results.findings))]
    parts += ["", "## How it was measured", ""]
    parts += [f"- {escape(line)}" for line in how_measured(results)]
    command = " ".join(experiment.get("command", "").replace("`", "").split())
    parts += ["", f"Reproduce: `{command}`", ""]
    return "\n".join(parts)
