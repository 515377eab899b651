"""What a comparison says of one benchmark: the plain structure between those who compare and those who write it out.

`bench.compare.judge` and the gate make verdicts; the other files of this folder turn them, and a header, into text.

A header is a mapping. Every key may be missing:

- `title`: one line. `base`, `head`: what was compared, in a person's words.
- `outcome`: `pass`, `inconclusive`, `regression` or `no verdict`; `summary`: the same with counts, in one line.
- `notes`: a list of lines that a reader must know.
- `machine`: as `bench.machine.fingerprint.fingerprint` gives it. `commit`: the head's. `started_s`: seconds since the
  epoch.
- `settings`: a mapping: tolerance, alpha and the like.
- `accuracy`: a list of mappings `name`, `difference` (of shares, head - base), `low`, `high`, `seeds`; of a gate also
  `verdict`, `severity` and `note`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bench.text.numbers import format_change, format_p, format_points

SLOWER, FASTER, SAME, UNKNOWN = "slower", "faster", "same", "unknown"
MISSING, NEW, FAILED, ACCEPTED = "missing", "new", "failed", "accepted"
VERDICTS = (SLOWER, FAILED, UNKNOWN, MISSING, NEW, ACCEPTED, FASTER, SAME)
"""The worst first: the order of every listing."""

PASSED, NOT_JUDGED, FAILURE, ERROR = "passed", "not judged", "failure", "error"
FAILING = (FAILURE, ERROR)
"""The severities that make a regression: of one benchmark or accuracy at least."""

SEVERITIES: Mapping[str, str] = {
    SLOWER: FAILURE, FAILED: ERROR,
    UNKNOWN: NOT_JUDGED, MISSING: NOT_JUDGED, NEW: NOT_JUDGED,
    ACCEPTED: PASSED, FASTER: PASSED, SAME: PASSED,
}  # fmt: skip
"""What a verdict means for the outcome where the judge has no other rule."""


@dataclass(frozen=True)
class Verdict:
    """One benchmark.

    **Arguments:**

    - `name`: all of it, such as `relu max/step`.
    - `verdict`: one of `VERDICTS`. `failed`: it ran at the base and broke at the head; `missing`, `new`: only one side
      has it; `accepted`: slower, and said to be so on purpose.
    - `base_s`, `head_s`: seconds of one iteration, a number an independent repeat (process or pair).
    - `ratio`, `low`, `high`: head / base with its 95 % interval; NaN where not known.
    - `p`: adjusted for the whole family; NaN where nothing was tested.
    - `note`: one line, or "".
    - `severity`: what the verdict means for the outcome: `passed`, `not judged`, `failure` or `error`. Who judges sets
      it, by `grade`: a missing benchmark fails the gate and does not fail `compare`. The formats only repeat it.
    """

    name: str
    verdict: str
    base_s: list[float] = field(default_factory=list)
    head_s: list[float] = field(default_factory=list)
    ratio: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    note: str = ""
    severity: str = NOT_JUDGED

    @property
    def base_middle_s(self) -> float:
        """The base's typical seconds: the geometric mean over repeats; NaN for none."""
        return statistics.geometric_mean(self.base_s) if self.base_s else math.nan

    @property
    def head_middle_s(self) -> float:
        """The head's typical seconds: the geometric mean over repeats; NaN for none."""
        return statistics.geometric_mean(self.head_s) if self.head_s else math.nan

    @property
    def change(self) -> str:
        """`+3.1 % [+2.0, +4.2]`, or as much of it as is known."""
        return format_change(self.ratio, self.low, self.high)

    @property
    def sentence(self) -> str:
        """Name, verdict, change and note in one line."""
        known = [self.change, f"p = {format_p(self.p)}" if not math.isnan(self.p) else "", self.note]
        return f"{self.name}: {self.verdict}" + "".join(f", {part}" for part in known if part)


def format_accuracy(row: Mapping[str, Any]) -> str:
    """One row of a header's `accuracy` in points: `-1.20 [-2.00, -0.40]`."""
    return format_points(*(100 * row[key] for key in ("difference", "low", "high")))


def grade(verdicts: Iterable[Verdict], severities: Mapping[str, str]) -> list[Verdict]:
    """The verdicts with their severities, as one judge's rule has them."""
    return [replace(one, severity=severities[one.verdict]) for one in verdicts]


def in_order(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The worst verdict first; within one, as they came."""
    return sorted(verdicts, key=lambda one: VERDICTS.index(one.verdict))


def count_verdicts(verdicts: Iterable[Verdict]) -> str:
    """`1 slower, 11 same`."""
    seen = [one.verdict for one in verdicts]
    return ", ".join(f"{seen.count(word)} {word}" for word in VERDICTS if word in seen) or "nothing to compare"
