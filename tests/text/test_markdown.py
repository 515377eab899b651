"""Markdown is read back by a parser: what was text is text again, and a table keeps its rows and columns."""

import math
import random

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from bench.text.markdown import Markdown, escape, write_frame, write_table

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
FRAGMENTS = [
    *"\\|`*_~[]()<>#!&:-+=.1a ",
    "  ", "\n", "\r\n", "\u2028", "**", "__", "~~", "![", "](", "](x)", "```", "<b>", "<!--",
    "&amp;", "&#42;", "http://", "www.x", "# ", "1. ", "1) ", "---", "===", "relu", "scaled_tanh", "é", "数",
]  # fmt: skip


def hostile(draw):
    return "".join(draw.choice(FRAGMENTS) for _ in range(draw.randint(0, 12)))


def tokens(text):
    """Every token of a page, those within paragraphs and cells too."""
    return [inner for token in PARSER.parse(text) for inner in (token, *(token.children or ()))]


def texts(text):
    """The text of each paragraph and cell, or None where something in it is no text."""
    found = []
    for token in PARSER.parse(text):
        if token.type == "inline":
            plain = all(child.type in ("text", "text_special") for child in token.children)
            found.append("".join(child.content for child in token.children) if plain else None)
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a|b", "a\\|b"),
        ("two\nlines", "two lines"),
        ("<img src=x>", "&lt;img src=x&gt;"),
        ("`code`", "\\`code\\`"),
        ("back\\slash|", "back\\\\slash\\|"),
        ("[click](javascript:x)", "\\[click\\](javascript:x)"),
        ("![picture](x)", "!\\[picture\\](x)"),
        ("https://example.org", "https\\://example.org"),
        ("*loud*", "\\*loud\\*"),
        ("_loud_ and __louder__", "\\_loud_ and \\_\\_louder__"),
        ("~~gone~~", "\\~\\~gone\\~\\~"),
        ("R&D", "R&amp;D"),
        ("# heading", "\\# heading"),
        ("- item", "\\- item"),
        ("12. item", "12\\. item"),
        ("---", "\\-\\-\\-"),
        ("scaled_tanh, MALLOC_TOP_PAD_=1, -0.24, #3, a-b, 1.5", "scaled_tanh, MALLOC_TOP_PAD_=1, -0.24, #3, a-b, 1.5"),
        ("-", "-"),
        (None, ""),
        (math.nan, ""),
        (0.5, "0.5"),
        (Markdown("**loud**"), "**loud**"),
    ],
)
def test_text_stays_text_and_only_signs_that_mean_something_are_escaped(value, text):
    assert escape(value) == text
    assert escape(escape(value)) == text


def test_whatever_a_text_holds_it_is_read_back_as_one_paragraph_of_that_text():
    draw = random.Random(1)
    for _ in range(3_000):
        text = hostile(draw)
        line = " ".join(text.split())
        if line == "-":  # an empty item of a list where it begins a line, and what tables say of a value not known
            continue
        assert texts(escape(text)) == [line] * bool(line), repr(text)


def test_a_text_within_marks_does_not_end_them():
    draw = random.Random(2)
    for _ in range(1_000):
        text = "a" + hostile(draw).strip() + "b"
        inside = [
            (token.type, token.content) for token in tokens(f"**{escape(text)}**") if token.nesting or token.content
        ]
        assert [kind for kind, _ in inside if "strong" in kind] == ["strong_open", "strong_close"], repr(text)
        assert not [kind for kind, _ in inside if kind in ("em_open", "link_open", "code_inline", "html_inline")]


def test_a_table_keeps_its_rows_and_columns_whatever_its_cells_hold():
    draw = random.Random(3)
    for _ in range(300):
        rows = [[hostile(draw) for _ in range(3)] for _ in range(4)]
        text = "\n".join(write_table(["first", "second", "third"], rows))
        assert texts(text) == ["first", "second", "third", *(" ".join(cell.split()) for row in rows for cell in row)], (
            rows
        )


def test_a_table_s_columns_are_aligned_and_markdown_cells_stay():
    lines = write_table(["trial", "ms"], [["relu|max", 3], [Markdown("**tanh**"), None]], "lr")
    assert lines == ["| trial | ms |", "|---|--:|", "| relu\\|max | 3 |", "| **tanh** |  |"]
    assert write_table(["trial", "ms"], [])[1] == "|---|---|"


def test_a_frame_has_a_line_a_row_and_no_negative_zero():
    table = pd.DataFrame({"na|me": ["a|b", "c\nd"], "step_ms": [1.23456789, math.nan], "n": [10_000_000, 3]})
    assert write_frame(table) == (
        "| na\\|me | step_ms | n |\n|---|---|---|\n| a\\|b | 1.23457 | 10000000 |\n| c d |  | 3 |\n"
    )
    assert write_frame(pd.DataFrame({"x": [-0.0, -1e-9]})).splitlines()[2:] == ["| 0 |", "| -1e-09 |"]
