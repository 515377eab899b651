"""Markdown: text escaped so that it stays text, and tables.

Names, reasons and notes come from experiment files, other people's suites and errors, so every text is escaped where
it is shown. What is Markdown already is a `Markdown`, which `escape` returns as it is; a table escapes its other cells.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class Markdown(str):
    """Text that is Markdown already and is not to be escaped (again)."""

    __slots__ = ()


ESCAPED = re.compile(
    r"[\\|`*~\[\]]"  # cells, code, emphasis, links
    r"|(?<!\w)_+(?=\S)"  # emphasis begins here; within or at the end of a word an underscore means nothing
    r"|:(?=//)"  # an address that GitHub would make a link of
    r"|^(?:#{1,6}|\+)(?= |$)|^-(?= )|^(?:=+|-{2,})$"  # a heading, a list or a rule; `-` alone is a value not known
)
NUMBERED = re.compile(r"^(\d{1,9})([.)])(?= |$)")  # a list again
ALIGNMENTS = {"l": "---", "r": "--:"}
DIGITS = 6  # significant ones of a data frame's numbers


def escape(value: object) -> Markdown:
    """A value as one line that stays text, in a table and outside: nothing in it ends a cell or a row, and nothing is
    taken for a link, HTML, emphasis, code, a heading or a list. None and NaN are empty.
    """
    if isinstance(value, Markdown):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return Markdown("")
    text = " ".join(str(value).split())
    text = ESCAPED.sub(lambda signs: "".join(f"\\{sign}" for sign in signs[0]), text)
    text = NUMBERED.sub(r"\1\\\2", text)
    return Markdown(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def write_table(headers: Sequence[str], rows: Iterable[Iterable[object]], align: str = "") -> list[str]:
    """The lines of a table.

    **Arguments:**

    - `headers`: our own words, written as they are.
    - `rows`: cells, escaped unless they are `Markdown`.
    - `align`: `l` or `r` a column; all to the left where it is not given.
    """
    rules = [ALIGNMENTS[side] for side in align or "l" * len(headers)]
    lines = ["| " + " | ".join(headers) + " |", "|" + "|".join(rules) + "|"]
    return lines + ["| " + " | ".join(map(escape, row)) + " |" for row in rows]


def write_frame(table: pd.DataFrame) -> str:
    """A data frame as a table, its floats to six significant digits."""
    rows = (
        [f"{value:z.{DIGITS}g}" if isinstance(value, float) and not math.isnan(value) else value for value in row]
        for row in table.itertuples(index=False)
    )
    return "\n".join(write_table([escape(column) for column in table.columns], rows)) + "\n"
