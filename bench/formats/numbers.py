"""Numbers as the formats need them: seconds in, short text or JSON-safe values out."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping
from typing import Any

UNITS = (("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9))


def format_seconds(seconds: float) -> str:
    """Four significant digits in the unit that suits: `1.234 ms`."""
    if not math.isfinite(seconds) or seconds <= 0:
        return ""
    unit, factor = next((pair for pair in UNITS if seconds * pair[1] >= 1), UNITS[-1])
    return f"{seconds * factor:.4g} {unit}"


def format_effect(form: str, value: float, low: float, high: float) -> str:
    """`+0.12 [-0.03, +0.27]`, or as much of it as is known; a `z` in the form: no zero is negative."""
    if math.isnan(value):
        return "-"
    return format(value, form) + ("" if math.isnan(low) else f" [{low:{form}}, {high:{form}}]")


def middle(samples: list[float]) -> float:
    """The geometric mean, the centre of what repeats gave; NaN for none."""
    return statistics.geometric_mean(samples) if samples else math.nan


def strict_json(content: Any) -> str:
    """JSON without NaN and infinities, which become null."""
    return json.dumps(_finite(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
