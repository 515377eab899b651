"""What the gate is told: floors, tolerances, how much is measured. `[tool.lenet-bench.gate]` goes in, checked values
come out. Nothing is measured or judged here.
"""

from __future__ import annotations

import dataclasses
import datetime
import fnmatch
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import GateError
from bench.statistics.paired import smallest_p
from lenet.variant import nearest

TIMING_SHARE, ACCURACY_SHARE = 0.8, 0.2  # of alpha
FIRST_LOOK, SECOND_LOOK = 0.6, 0.4  # of the timing's alpha: confirm alone, confirm and extension together
TABLE = "[tool.lenet-bench.gate]"


@dataclass(frozen=True)
class Settings:
    """How the gate decides.

    **Arguments:**

    - `floor`: a smaller slowdown never fails, however significant. `tolerance`: what a pass rules out, with 95 %.
    - `routing`: median slowdown in the screen from which a benchmark is confirmed.
    - `floors`, `tolerances`: the same for single benchmarks, by name or pattern; the first that fits counts.
    - `accepted`: name or pattern of a benchmark that may be slower, with the reason.
    - `alpha`: the chance of failing a change that does nothing, for the whole suite.
    - `screen_pairs`, `confirm_pairs`, `extend_pairs`, `alternations`, `block_ms`: how much is measured.
    - `limit_s`: a side that is silent for so long in a block, or while building a benchmark, hangs.
    - `accuracy_margin`: a smaller drop of the mean accuracy (a share) never fails.
    - `allow_removed`: whether a benchmark may disappear. `strict`: whether an inconclusive benchmark withholds a pass.
    """

    floor: float = 0.02
    tolerance: float = 0.05
    routing: float = 0.015
    floors: Mapping[str, float] = field(default_factory=dict)
    tolerances: Mapping[str, float] = field(default_factory=dict)
    accepted: Mapping[str, str] = field(default_factory=dict)
    alpha: float = 0.01
    screen_pairs: int = 8
    confirm_pairs: int = 24
    extend_pairs: int = 16
    alternations: int = 36
    block_ms: float = 10.0
    limit_s: float = 60.0
    accuracy_margin: float = 0.005
    allow_removed: bool = False
    strict: bool = False

    def floor_of(self, name: str) -> float:
        """The floor of one benchmark, as a share."""
        return _lookup(self.floors, name, self.floor)

    def tolerance_of(self, name: str) -> float:
        """As a share; never less than its floor, or what does not fail could never pass."""
        return max(_lookup(self.tolerances, name, self.tolerance), self.floor_of(name))

    def routing_of(self, name: str) -> float:
        """What sends one benchmark on to be confirmed: never more than its floor, or a regression could hide below."""
        return min(self.routing, self.floor_of(name))

    def reason_of(self, name: str) -> str | None:
        """Why one benchmark may be slower, if it may."""
        return next((why for pattern, why in self.accepted.items() if fits(name, pattern)), None)


def fits(name: str, pattern: str) -> bool:
    """Whether a benchmark has this name, or one of this pattern: `test_sum[10]` is a name, brackets and all."""
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


def _lookup(values: Mapping[str, float], name: str, otherwise: float) -> float:
    return next((value for pattern, value in values.items() if fits(name, pattern)), otherwise)


def check_settings(settings: Settings, benchmarks: int) -> None:
    """Raises `GateError` where the smallest p-value that can be attained could never be significant: such a gate would
    pass everything.
    """
    alpha = settings.alpha * TIMING_SHARE
    _check_attainable("pairs", settings.confirm_pairs, benchmarks, alpha * FIRST_LOOK)
    if settings.extend_pairs:
        _check_attainable("pairs", settings.confirm_pairs + settings.extend_pairs, benchmarks, alpha * SECOND_LOOK)


def check_seeds(settings: Settings, seeds: int, trials: int) -> None:
    """The same for the accuracies, whose repeats are seeds. Raises `GateError`."""
    _check_attainable("seeds", seeds, trials, settings.alpha * ACCURACY_SHARE)


def _check_attainable(what: str, count: int, family: int, alpha: float) -> None:
    smallest = smallest_p(count, max(1, family))
    if smallest > alpha:
        raise GateError(
            f"{count} {what} give no p-value below {smallest:.2g}, and failing needs {alpha:.2g}: "
            f"this gate could never fail; ask for more {what} or a larger alpha"
        )


def read_settings(tree: Path, changes: Mapping[str, Any]) -> tuple[Settings, list[str]]:
    """`[tool.lenet-bench.gate]` of a tree's pyproject.toml, overlaid by `changes`; and what a reader must know of it.

    `accepted` is a list of tables: `benchmark` (name or pattern), `reason`, `until` (a date, after which it is void).
    Raises `GateError` for unknown keys and for values of the wrong kind.
    """
    values: Any = _read_toml(tree / "pyproject.toml")
    for key in ("tool", "lenet-bench", "gate"):
        values = values.get(key, {}) if isinstance(values, dict) else None
    if not isinstance(values, dict):
        raise GateError(f"{TABLE}: not a table of settings")
    values = {**values}
    accepted, notes = _read_accepted(values.pop("accepted", []))
    for name, value in (values := {**values, **changes}).items():
        check_value(name, value)
    return Settings(**{**values, "accepted": accepted}), notes


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig")) if file.exists() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GateError(f"pyproject.toml: not TOML: {error}") from error


def _read_accepted(entries: Any) -> tuple[dict[str, str], list[str]]:
    accepted, notes = {}, []
    if not isinstance(entries, list):
        raise GateError(f"{TABLE} accepted: {entries!r} is not a list of tables")
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) != {"benchmark", "reason", "until"}:
            raise GateError(f"{TABLE} accepted: {entry!r} needs benchmark, reason and until (a date)")
        until = entry["until"]
        if type(until) is not datetime.date:  # a time of day is a date to Python, and does not compare with one
            raise GateError(f"{TABLE} accepted: until = {until} is not a date like 2026-12-31 (without quotes)")
        if until < datetime.date.today():
            notes.append(f"accepted entry for {entry['benchmark']} is void since {until}")
        else:
            accepted[str(entry["benchmark"])] = f"{entry['reason']} (until {until})"
    return accepted, notes


def check_value(name: str, value: Any) -> None:
    """Raises `GateError` for a setting that is not there, or not of its kind."""
    kinds = {one.name: one.type for one in dataclasses.fields(Settings) if one.name != "accepted"}
    if name not in kinds:
        raise GateError(f"{TABLE}: unknown key '{name}'; {nearest(name, [*kinds, 'accepted'])}")
    if name in ("floors", "tolerances"):
        right = isinstance(value, dict) and all(_is_number(one) for one in value.values())
        wanted = 'a table such as { "*/forward" = 0.03 }'
    elif kinds[name] == "bool":
        right, wanted = isinstance(value, bool), "true or false"
    elif kinds[name] == "int":
        least = 0 if name == "extend_pairs" else 1
        right, wanted = type(value) is int and value >= least, f"a whole number of at least {least}"
    elif name == "alpha":
        right, wanted = _is_number(value) and 0 < value <= 0.5, "a number above 0 and up to 0.5"
    else:
        right, wanted = _is_number(value), "a number of at least 0"
    if not right:
        raise GateError(f"{TABLE} {name}: {value!r} is not {wanted}")


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and 0 <= value < math.inf
