"""JSON text that any reader accepts."""

import json
import math

import pytest

from bench.text.json_text import strict_json


def test_what_json_does_not_know_is_null_however_deep_it_lies():
    content = {"a": math.nan, "b": [math.inf, (1.5, -math.inf)], 3: {"c": "é", "d": True, "e": None}}
    text = strict_json(content)
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": None, "b": [None, [1.5, None]], "3": {"c": "é", "d": True, "e": None}
    }  # fmt: skip
    assert "é" in text
    assert text.endswith("}\n")


def test_numbers_are_read_back_to_the_bit():
    values = [0.1 + 0.2, 1e-300, 5e-324, 2**60, -0.0]
    assert json.loads(strict_json(values)) == values
