"""Markdown for a pull request or a job's summary: the outcome, what was compared, and a table, the worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.text.markdown import Markdown, escape, write_table
from bench.text.numbers import format_p, format_seconds
from bench.verdicts.verdict import FAILING, FASTER, SAME, Verdict, format_accuracy, in_order

COLUMNS = ("benchmark", "base", "head", "change [95 % interval]", "p", "verdict")


def write_markdown(header: Mapping[str, Any], verdicts: Sequence[Verdict]) -> str:
    """Benchmarks that are the same or faster are folded away when there are others."""
    lines = [f"### {escape(header.get('title') or 'lenet-bench compare')}", ""]
    lines += [f"**{escape(header['summary'])}**", ""] if header.get("summary") else []
    if header.get("base") or header.get("head"):
        lines += [f"base: {escape(header.get('base', ''))}  ", f"head: {escape(header.get('head', ''))}", ""]
    lines += [f"- {escape(note)}" for note in header.get("notes") or []]
    ordered = in_order(verdicts)
    quiet = [one for one in ordered if one.verdict in (FASTER, SAME)]
    loud = [one for one in ordered if one not in quiet]
    for group, title in ((loud, ""), (quiet, f"{len(quiet)} faster or the same" if loud else "")):
        if group:
            table = write_table(COLUMNS, map(_row, group), "lrrrrl")
            fold = [f"<details><summary>{title}</summary>", "", *table, "", "</details>"] if title else table
            lines += ["", *fold]
    lines += _accuracy(header.get("accuracy") or [])
    settings = header.get("settings") or {}
    lines += ["", ", ".join(f"{escape(name)} {escape(value)}" for name, value in settings.items())] if settings else []
    return "\n".join(lines).replace("\n\n\n", "\n\n").rstrip("\n") + "\n"


def _row(one: Verdict) -> list[str]:
    verdict = f"**{one.verdict}**" if one.verdict not in (SAME, FASTER) else one.verdict
    times = (format_seconds(one.base_middle_s), format_seconds(one.head_middle_s))
    note = f": {escape(one.note)}" if one.note else ""
    return [one.name, *times, Markdown(one.change), format_p(one.p), Markdown(verdict + note)]


def _accuracy(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    cells = []
    for row in rows:
        points = format_accuracy(row)
        points += f" **{row['verdict']}**" if row.get("severity") in FAILING else ""
        cells.append([row["name"], Markdown(points), row["seeds"]])
    return ["", *write_table(("trial", "accuracy, points [95 % interval]", "seeds"), cells, "lrr")]
