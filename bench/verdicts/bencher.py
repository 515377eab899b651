"""Bencher Metric Format (v0): benchmark -> measure -> value with bounds; `latency` is in nanoseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.text.json_text import strict_json
from bench.verdicts.verdict import Verdict

NAME_LIMIT = 1_024  # characters; Bencher refuses longer names


def write_bencher(header: Mapping[str, Any], verdicts: Sequence[Verdict]) -> str:
    """The head's times with the smallest and largest repeat as bounds. The format has no place for the header."""
    del header
    metrics = {}
    for one in verdicts:
        if one.head_s:
            latency = {"value": one.head_middle_s * 1e9}
            if len(one.head_s) > 1:
                latency |= {"lower_value": min(one.head_s) * 1e9, "upper_value": max(one.head_s) * 1e9}
            metrics[one.name[:NAME_LIMIT]] = {"latency": latency}
    return strict_json(metrics)
