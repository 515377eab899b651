"""Numbers and intervals as text: each kind is written in one way, wherever a person reads it.

Names and arguments say the unit that goes in: a share is between 0 and 1, `percent` and `points` are 100 times that.
A value that is not known is NaN; it becomes `-`, or nothing where a function says so. Bounds that are not known are
left out. No zero is negative: the `z` of a format turns `-0.0` to `0.0` after rounding.
"""

from __future__ import annotations

import math
import numbers

UNKNOWN = "-"
UNITS = (("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9))


# Shares and differences of shares ------------------------------------------------------------------------------------


def format_percent(share: float, low: float = math.nan, high: float = math.nan, digits: int = 2) -> str:
    """A share with the half width of its interval: `98.91 ± 0.12 %`; the wider side, where it is cut off at 0 or 1."""
    if math.isnan(share):
        return UNKNOWN
    half = max(high - share, share - low) * 100
    value = f"{share * 100:z.{digits}f}"
    return f"{value} %" if math.isnan(half) else f"{value} ± {half:z.{digits}f} %"


def format_percent_bounds(percent: float, low: float = math.nan, high: float = math.nan) -> str:
    """Percent with the bounds of its interval, which need not lie evenly: `2.94 % [2.68, 3.20]`."""
    if math.isnan(percent):
        return UNKNOWN
    return f"{percent:z.2f} %" + _bounds("z.2f", low, high)


def format_points(points: float, low: float = math.nan, high: float = math.nan) -> str:
    """A difference in percentage points with its bounds: `+0.12 [-0.03, +0.27]`."""
    return UNKNOWN if math.isnan(points) else f"{points:+z.2f}" + _bounds("+z.2f", low, high)


def format_share(share: float, noise: float = math.nan, unknown: str = UNKNOWN) -> str:
    """A share in whole percent, and beside it what noise alone would make: `12 % (noise 5 %)`."""
    if math.isnan(share):
        return unknown
    return f"{share * 100:z.0f} %" + ("" if math.isnan(noise) else f" (noise {noise * 100:z.0f} %)")


# Ratios --------------------------------------------------------------------------------------------------------------


def format_ratio(ratio: float, low: float = math.nan, high: float = math.nan) -> str:
    """A multiple with its bounds: `1.160 [1.142, 1.178]`."""
    return UNKNOWN if math.isnan(ratio) else f"{ratio:z.3f}" + _bounds("z.3f", low, high)


def format_change(ratio: float, low: float = math.nan, high: float = math.nan) -> str:
    """A ratio as a change in percent with its bounds: `+3.1 % [+2.0, +4.2]`; nothing where it is not known."""
    if math.isnan(ratio):
        return ""
    return f"{100 * (ratio - 1):+z.1f} %" + _bounds("+z.1f", 100 * (low - 1), 100 * (high - 1))


def format_p(p: float) -> str:
    """A p-value to two significant digits: `0.0004`; nothing where nothing was tested."""
    return "" if math.isnan(p) else f"{p:.2g}"


# Times, sizes and counts ---------------------------------------------------------------------------------------------


def format_ms(ms: float, low: float = math.nan, high: float = math.nan) -> str:
    """Milliseconds with the interval's half width in percent: `1.234 ms ± 1.1 %`; digits as the interval deserves."""
    if math.isnan(ms):
        return UNKNOWN
    if math.isnan(low) or math.isnan(high):
        return f"{float(f'{ms:z.3g}'):g} ms"
    half = (high - low) / 2
    digits = max(0, min(6, 1 - math.floor(math.log10(half)))) if half > 0 else 4
    return f"{ms:z.{digits}f} ms ± {half / ms * 100:z.1f} %"


def format_seconds(seconds: float) -> str:
    """Four significant digits in the unit that suits: `1.234 ms`; nothing where there is no time above 0."""
    if not math.isfinite(seconds) or seconds <= 0:
        return ""
    unit, factor = next((pair for pair in UNITS if seconds * pair[1] >= 1), UNITS[-1])
    return f"{seconds * factor:.4g} {unit}"


def format_minutes(seconds: float) -> str:
    """Seconds as minutes: `7.5 min`."""
    return f"{seconds / 60:z.1f} min"


def format_mib(mib: float) -> str:
    """Mebibytes without the unit, which stands in the table's head: `12.3`."""
    return UNKNOWN if math.isnan(mib) else f"{mib:z.1f}"


def format_gib(size_bytes: float) -> str:
    """Bytes as whole gibibytes: `8 GiB`."""
    return f"{size_bytes / 2**30:z.0f} GiB"


def format_count(count: float) -> str:
    """A count in groups of three digits, to three significant ones above a thousand: `12,300`."""
    if math.isnan(count):
        return UNKNOWN
    return format_exact_count(count if count < 1_000 else float(f"{count:.3g}"))


def format_exact_count(count: float) -> str:
    """A count with all its digits, in groups of three: `12,345`; nothing where it is not known."""
    return "" if math.isnan(count) else f"{count:z,.0f}"


# What MLflow gets ----------------------------------------------------------------------------------------------------


def rounded(value: object) -> float | None:
    """A number as MLflow's UI, which shows every digit, should get it: 6 significant digits; None if it is no finite
    number.

    Whole numbers stay whole, because counts are exact.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        return None
    number = float(value)
    return number + 0.0 if number.is_integer() else float(f"{number:.6g}")


def rounded_half_width(low: object, high: object) -> float | None:
    """Half the distance between two bounds to 2 significant digits; None where they are not known."""
    lower, upper = rounded(low), rounded(high)
    return None if lower is None or upper is None else float(f"{(upper - lower) / 2:z.2g}")


def format_figures(value: object, low: object = None, high: object = None) -> str:
    """A number of any unit to four significant digits with its bounds: `0.981 [0.975, 0.987]`; nothing where it is
    not known.
    """
    known = [rounded(number) for number in (value, low, high)]
    first, *bounds = ["" if number is None else _figures(number) for number in known]
    return first + (f" [{', '.join(bounds)}]" if first and all(bounds) else "")


def _figures(number: float) -> str:
    return f"{number:z,.0f}" if abs(number) >= 1_000 else f"{number:z.4g}"


def _bounds(form: str, low: float, high: float) -> str:
    return "" if math.isnan(low) or math.isnan(high) else f" [{low:{form}}, {high:{form}}]"
