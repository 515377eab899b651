"""Numbers and intervals as people read them."""

import inspect
import math
import re

import numpy as np
import pytest

from bench.text import numbers
from bench.text.numbers import (
    format_change,
    format_count,
    format_exact_count,
    format_figures,
    format_gib,
    format_mib,
    format_minutes,
    format_ms,
    format_p,
    format_percent,
    format_percent_bounds,
    format_points,
    format_ratio,
    format_seconds,
    format_share,
    rounded,
    rounded_half_width,
)

NAN = math.nan
FORMATS = [function for name, function in inspect.getmembers(numbers, inspect.isfunction) if name.startswith("format_")]


@pytest.mark.parametrize(
    ("write", "values", "text"),
    [
        (format_percent, (0.98912, 0.98792, 0.99032), "98.91 ± 0.12 %"),
        (format_percent, (0.999, 0.994, 1.0), "99.90 ± 0.50 %"),  # cut off at 1: the wider side is the honest one
        (format_percent, (0.5,), "50.00 %"),
        (format_percent, (0.5, NAN, NAN, 1), "50.0 %"),
        (format_percent, (NAN,), "-"),
        (format_percent_bounds, (2.944, 2.681, 3.2), "2.94 % [2.68, 3.20]"),
        (format_percent_bounds, (2.944,), "2.94 %"),
        (format_percent_bounds, (NAN,), "-"),
        (format_points, (0.124, -0.03, 0.27), "+0.12 [-0.03, +0.27]"),
        (format_points, (-5.0,), "-5.00"),
        (format_points, (NAN,), "-"),
        (format_share, (0.124,), "12 %"),
        (format_share, (0.124, 0.05), "12 % (noise 5 %)"),
        (format_share, (NAN,), "-"),
        (format_share, (NAN, 0.05, ""), ""),
        (format_ratio, (1.16, 1.142, 1.1784), "1.160 [1.142, 1.178]"),
        (format_ratio, (1.16,), "1.160"),
        (format_ratio, (NAN,), "-"),
        (format_change, (1.0312, 1.02, 1.042), "+3.1 % [+2.0, +4.2]"),
        (format_change, (0.9,), "-10.0 %"),
        (format_change, (NAN,), ""),
        (format_p, (0.00041,), "0.00041"),
        (format_p, (1.0,), "1"),
        (format_p, (NAN,), ""),
        (format_ms, (1.23456, 1.22, 1.25), "1.235 ms ± 1.2 %"),
        (format_ms, (123.4, 110.0, 137.0), "123 ms ± 10.9 %"),
        (format_ms, (0.0123456, 0.01233, 0.01236), "0.012346 ms ± 0.1 %"),
        (format_ms, (1.5, 1.5, 1.5), "1.5000 ms ± 0.0 %"),
        (format_ms, (1.23456,), "1.23 ms"),
        (format_ms, (1234.56,), "1230 ms"),
        (format_ms, (NAN,), "-"),
        (format_seconds, (1.5,), "1.5 s"),
        (format_seconds, (2.5e-3,), "2.5 ms"),
        (format_seconds, (1e-6,), "1 us"),
        (format_seconds, (5e-10,), "0.5 ns"),
        (format_seconds, (0.0,), ""),
        (format_seconds, (NAN,), ""),
        (format_minutes, (450.0,), "7.5 min"),
        (format_mib, (12.34,), "12.3"),
        (format_mib, (NAN,), "-"),
        (format_gib, (8 * 2**30,), "8 GiB"),
        (format_count, (12_345.6,), "12,300"),
        (format_count, (1_234_567.0,), "1,230,000"),
        (format_count, (999.4,), "999"),
        (format_count, (0.4,), "0"),
        (format_count, (NAN,), "-"),
        (format_exact_count, (60_074,), "60,074"),
        (format_exact_count, (NAN,), ""),
        (format_figures, (0.98123, 0.97512, 0.98734), "0.9812 [0.9751, 0.9873]"),
        (format_figures, (12_345.6, 12_000.0, 12_700.0), "12,346 [12,000, 12,700]"),
        (format_figures, (1.5, 1.4, NAN), "1.5"),
        (format_figures, (None,), ""),
        (format_figures, ("text", 1.0, 2.0), ""),
    ],
)
def test_each_kind_of_number_reads_in_one_way(write, values, text):
    assert write(*values) == text


def test_every_format_is_in_the_list_above():
    (mark,) = (mark for mark in test_each_kind_of_number_reads_in_one_way.pytestmark if mark.name == "parametrize")
    assert {write for write, *_ in mark.args[1]} == set(FORMATS)


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize("size", [0.0, 1e-12, 1e-5, 4e-4])
def test_no_zero_is_negative(write, size):
    """A change of -0.04 % is `+0.0 %`, not `-0.0 %`."""
    centre = 1.0 if write in (format_change, format_ms, format_ratio) else 0.0  # times and ratios are above 0
    bounds = (centre - size,) * 3 if "low" in inspect.signature(write).parameters else (centre - size,)
    assert not re.search(r"-0(\.0*)?(?![\d.e])", write(*bounds))


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0.123456789, 0.123457),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (123_456_789, 123_456_789.0),
        (12_345_678.9, 12_345_700.0),
        (NAN, None),
        (math.inf, None),
        (True, None),
        ("1", None),
        (None, None),
    ],
)
def test_mlflow_gets_six_digits_and_whole_counts(value, number):
    assert rounded(value) == number


def test_a_negative_zero_becomes_a_plain_one():
    assert math.copysign(1.0, rounded(-0.0)) == 1.0
    assert math.copysign(1.0, rounded_half_width(0.0, -0.0)) == 1.0


@pytest.mark.parametrize(
    ("low", "high", "half"), [(0.97512, 0.98734, 0.0061), (1.0, 1.0, 0.0), (NAN, 1.0, None), (1.0, None, None)]
)
def test_half_widths_have_two_digits(low, high, half):
    assert rounded_half_width(low, high) == half
