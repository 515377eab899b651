"""The sweep's description in MLflow: Markdown with the ranking, what each axis does, failures and the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.records.record import Record
from bench.records.run import Run
from bench.text.markdown import Markdown, escape, write_table
from bench.text.numbers import format_figures, format_share, rounded

Row = Mapping[str, Any]

NOTE_ROWS = 20
NOTE_LIMIT = 6_000  # characters; links follow it
TEXT_LIMIT = 200  # characters of one text

NOTE_COLUMNS = {
    "test_accuracy": "test accuracy",
    "forward_ms": "forward ms",
    "backward_ms": "backward ms",
    "step_ms": "step ms",
    "step_images_per_s": "images/s",
    "peak_memory_mib": "memory MiB",
}


def describe(run: Run, ranked: Sequence[Row], records: Sequence[Record], effects: Sequence[Row]) -> str:
    """The sweep's description in Markdown: the question, the best trials with their intervals, what each axis does,
    what failed, the machine. Bounded: what comes last gives way first.

    **Arguments:**

    - `ranked`: the table's rows of the trials that succeeded, best first. `effects`: rows of the main effects.
    - `records`: of all trials that ended; seeds and timings are not looked at.
    """
    # MLflow's page shows two lines of it at first.
    lines = [best_in_words(ranked), "", short(run.experiment.get("question") or run.experiment["name"]), ""]
    lines += ranking_lines(run, ranked)
    more = f"and {len(ranked) - NOTE_ROWS} more. " if len(ranked) > NOTE_ROWS else ""
    lines += ["", f"{more}Square brackets: 95 % intervals.", "", machine_in_words(run)]
    unwell = [record for record in records if record.status != "ok"]
    lines += [""] * bool(unwell) + [
        f"- {record.status}: {short(record.name)}, {short(record.reason or record.cause)}"
        for record in unwell[:NOTE_ROWS]
    ]
    lines += effect_lines(run, effects)
    while len("\n".join(lines)) > NOTE_LIMIT:
        lines.pop()
    return "\n".join(lines)


def ranking_lines(run: Run, ranked: Sequence[Row]) -> list[str]:
    """A Markdown table of the best trials, with the columns that any of them has."""
    axes = list(run.experiment["axes"])
    shown = [column for column in NOTE_COLUMNS if any(rounded(row.get(column)) is not None for row in ranked)]
    header = ["trial", *axes, *(NOTE_COLUMNS[column] for column in shown)]
    cells = [
        [*(short(row.get(name)) for name in ("name", *axes)), *(Markdown(with_interval(row, name)) for name in shown)]
        for row in ranked[:NOTE_ROWS]
    ]
    return write_table(header, cells, "l" * (1 + len(axes)) + "r" * len(shown))


def best_in_words(ranked: Sequence[Row]) -> str:
    """The best trial in one line."""
    if not ranked:
        return "No trial succeeded."
    best = ranked[0]
    accuracy, step = with_interval(best, "test_accuracy"), with_interval(best, "step_ms")
    parts = [f"test accuracy {accuracy}"] * bool(accuracy) + [f"{step} ms a step"] * bool(step)
    return f"Best: **{short(best.get('name', ''))}**, {', '.join(parts)}."


def machine_in_words(run: Run) -> str:
    """The machine in one line."""
    known = run.machine
    parts = [known.get("cpu"), f"{known.get('cores')} cores" if known.get("cores") else "", *(known.get("gpu") or [])]
    parts += [f"torch {known['torch']}" if known.get("torch") else ""]
    return f"Machine {short(known.get('id', ''))}: " + ", ".join(short(part) for part in parts if part)


def effect_lines(run: Run, effects: Sequence[Row]) -> list[str]:
    """The main effect of each axis that has few levels, as a Markdown table; no line where there is nothing to
    compare.
    """
    few = {axis for axis, levels in run.experiment["axes"].items() if 1 < len(levels) <= NOTE_ROWS}
    rows = [row for row in effects if row["axis"] in few]
    if not rows:
        return []
    head = ["axis", "level", "accuracy, points to the first", "step time, times the first", "share of accuracy",
            "of step time"]  # fmt: skip
    cells: list[list[str]] = []
    for row in rows:
        points = {f"points{bound}": 100 * row[f"accuracy_difference{bound}"] for bound in ("", "_low", "_high")}
        measured = [Markdown(with_interval(points, "points")), Markdown(with_interval(row, "step_ratio"))]
        shares = [format_share(row["accuracy_share"], unknown=""), format_share(row["step_share"], unknown="")]
        cells.append([short(row["axis"]), short(row["level"]), *measured, *shares])
    return ["", "**Main effects**", "", *write_table(head, cells, "llrrrr")]


def with_interval(row: Row, column: str) -> str:
    """A measured number of a row, with its interval where that is known."""
    return format_figures(*(row.get(f"{column}{bound}") for bound in ("", "_low", "_high")))


def short(value: object) -> Markdown:
    """A person's text as Markdown, cut where it would fill the page."""
    return escape(value[:TEXT_LIMIT] if isinstance(value, str) else value)
