"""Plain text of a comparison, and what all formats for people say of numbers."""

import math

import pytest
from fakes.verdict_list import BASE, HEADER, VERDICT_LIST

from bench.verdicts.junit import write_junit
from bench.verdicts.markdown import write_markdown
from bench.verdicts.text import write_text
from bench.verdicts.verdict import Verdict


def test_text_is_aligned_and_ends_with_the_summary():
    lines = write_text(HEADER, VERDICT_LIST).splitlines()
    assert lines[-1] == "regression: 1 slower"
    assert lines[4].startswith("relu/step")
    assert write_text({}, []).startswith("base")


@pytest.mark.parametrize("write", [write_text, write_markdown])
def test_equal_accuracy_has_no_minus_sign(write):
    equal = {"name": "relu", "difference": -0.0, "low": -0.0, "high": -0.0, "seeds": 4}
    assert "+0.00 [+0.00, +0.00]" in write(HEADER | {"accuracy": [equal]}, VERDICT_LIST)


@pytest.mark.parametrize("write", [write_text, write_markdown, write_junit])
def test_a_change_that_rounds_to_nothing_has_no_minus_sign(write):
    text = write(HEADER, [Verdict("relu/step", "same", BASE, BASE, 0.9999, 0.9996, 1.0, 1.0)])
    assert "+0.0 % [+0.0, +0.0]" in text


@pytest.mark.parametrize("write", [write_text, write_markdown])
def test_accuracy_that_no_seed_has_on_both_sides_is_a_dash(write):
    unknown = {"name": "relu", "difference": math.nan, "low": math.nan, "high": math.nan, "seeds": 0}
    text = write(HEADER | {"accuracy": [unknown]}, VERDICT_LIST)
    assert "relu" in text
    assert "nan" not in text
