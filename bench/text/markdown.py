"""Markdown: tables, and text escaped so that it stays text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def table_head(names: Iterable[str], left: int) -> list[str]:
    """The first two lines of a Markdown table; all but the `left` first columns are numbers."""
    names = list(names)
    return ["| " + " | ".join(names) + " |", "|" + "---|" * left + "---:|" * (len(names) - left)]


def markdown(value: object) -> str:
    """Text that stays text inside a Markdown table."""
    plain = " ".join(str(value).split())
    for sign in "\\`*_[]<>|#":
        plain = plain.replace(sign, "\\" + sign)
    return plain[:200]


def escape(value: object) -> str:
    """Text that stays text inside a table and a page."""
    text = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for sign in "\\`*_|":
        text = text.replace(sign, "\\" + sign)
    return text


def markdown_table(headers: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    return lines + ["| " + " | ".join(map(escape_cell, row)) + " |" for row in rows]


def escape_cell(value: object) -> str:
    """A value as one cell of a Markdown table: nothing in it can end the cell, the row, or be taken for a link or HTML.

    Underscores stay, since within a word they mean nothing.
    """
    text = "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)
    text = re.sub(r"([\\|`*\[\]])", r"\\\1", " ".join(text.split()))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def to_markdown(table: pd.DataFrame) -> str:
    """A Markdown table, numbers to six significant digits."""
    lines = ["| " + " | ".join(escape_cell(column) for column in table.columns) + " |"]
    lines.append("|" + "---|" * len(table.columns))
    for row in table.itertuples(index=False):
        cells = [f"{value:.6g}" if isinstance(value, float) and not math.isnan(value) else value for value in row]
        lines.append("| " + " | ".join(escape_cell(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"
