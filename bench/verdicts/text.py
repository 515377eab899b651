"""Plain text for a terminal or a log: the same content as the Markdown, in aligned columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.text.numbers import format_p, format_seconds
from bench.verdicts.verdict import FAILING, Verdict, format_accuracy, in_order

COLUMNS = ("benchmark", "base", "head", "change [95 % interval]", "p", "verdict")


def write_text(header: Mapping[str, Any], verdicts: Sequence[Verdict]) -> str:
    """Header, table, accuracy, notes; the summary last, where a reader of a log looks first."""
    lines = [f"base  {header.get('base', '')}", f"head  {header.get('head', '')}", ""]
    rows = [
        (
            one.name,
            format_seconds(one.base_middle_s),
            format_seconds(one.head_middle_s),
            one.change,
            format_p(one.p),
            one.verdict + (f": {one.note}" if one.note else ""),
        )
        for one in in_order(verdicts)
    ]
    lines += _align([COLUMNS, *rows]) if rows else []
    accuracy = [
        (
            row["name"],
            format_accuracy(row) + (f" {row['verdict']}" if row.get("severity") in FAILING else ""),
            str(row["seeds"]),
        )
        for row in header.get("accuracy") or []
    ]
    lines += ["", *_align([("trial", "accuracy, points [95 % interval]", "seeds"), *accuracy])] if accuracy else []
    lines += ["", *(f"note: {note}" for note in header["notes"])] if header.get("notes") else []
    return "\n".join([*lines, "", str(header.get("summary", ""))]).rstrip("\n") + "\n"


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first and last column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    last = len(widths) - 1
    return [
        "  ".join(
            cell.ljust(width) if place in (0, last) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
