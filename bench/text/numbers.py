"""Numbers as the formats need them: seconds in, short text or JSON-safe values out."""

from __future__ import annotations

import json
import math
import numbers
import statistics
from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]


def rounded(value: object) -> float | None:
    """A number as MLflow's UI, which shows every digit, should get it: 6 significant digits; None if it is no finite
    number.

    Whole numbers stay whole, because counts are exact.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        return None
    number = float(value)
    return number if number.is_integer() else float(f"{number:.6g}")


def percent(share: float) -> str:
    """`12 %`; nothing where it is unknown."""
    return "" if math.isnan(share) else f"{100 * share:.0f} %"


def with_interval(row: Row, column: str) -> str:
    """`0.981 [0.975, 0.987]`, or as much of it as is known."""
    value, low, high = (rounded(row.get(name)) for name in (column, f"{column}_low", f"{column}_high"))
    if value is None:
        return ""

    def short(number: float) -> str:
        return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"

    return short(value) + (f" [{short(low)}, {short(high)}]" if low is not None and high is not None else "")


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


def format_percent(value: float, low: float, high: float) -> str:
    """A share with its interval: `98.91 ± 0.12 %`; the wider side, where the interval is cut off at 0 or 1."""
    if math.isnan(value):
        return "-"
    half = max(high - value, value - low) * 100
    return f"{value * 100:.2f} %" if math.isnan(half) else f"{value * 100:.2f} ± {half:.2f} %"


def format_ms(value: float, low: float, high: float) -> str:
    """Milliseconds with the interval's half width in percent: `1.234 ms ± 1.1 %`; digits as the interval deserves."""
    if math.isnan(value):
        return "-"
    if math.isnan(low) or math.isnan(high):
        return f"{float(f'{value:.3g}'):g} ms"
    half = (high - low) / 2
    digits = max(0, min(6, 1 - math.floor(math.log10(half)))) if half > 0 else 4
    return f"{value:.{digits}f} ms ± {half / value * 100:.1f} %"


def format_count(value: float) -> str:
    """A count in groups of three, three significant digits above a thousand: `12,300`."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if value < 1_000 else f"{float(f'{value:.3g}'):,.0f}"


def format_share(share: float, noise: float = math.nan) -> str:
    """`12 %`, and beside it what noise alone would make: `12 % (noise 5 %)`."""
    if math.isnan(share):
        return "-"
    return f"{share * 100:.0f} %" + ("" if math.isnan(noise) else f" (noise {noise * 100:.0f} %)")
