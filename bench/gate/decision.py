"""The gate's decision: pairs of both sides go in, one verdict a benchmark and one outcome come out.

    screen:  8 pairs of everything; what might be slower, or cannot be called equal yet, is routed on. It fails nothing.
    confirm: 24 fresh pairs of what was routed. The screen's pairs are not used again.
        slower     = significant (family-wise) and at least the floor
        no slower  = the upper bound of the slowdown is below the tolerance
        otherwise  = once more, 16 further pairs, at what is left of alpha; then inconclusive
    control: work that no revision changes. If it comes out different, the machine favours a side: no verdict.

The chance of failing a change that does nothing is at most alpha: only the confirming pairs can fail one, they are
independent of what routed them there, and alpha is shared out among the two looks and the accuracies. Where pairs come
from is not known here, so that the decision is tested to the digit without timing anything.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.gate.accuracy import WORSE, Trained, judge_accuracies
from bench.gate.pairs import Benchmark, Pair
from bench.gate.settings import FIRST_LOOK, SECOND_LOOK, TIMING_SHARE, Settings, check_settings
from bench.gate.sides.channel import CONTROL
from bench.statistics.intervals import Array
from bench.statistics.paired import hodges_lehmann, minimum_detectable_effect, sign_flip_max_t, spread, upper_bound
from bench.text.numbers import format_change
from bench.verdicts.verdict import (
    ACCEPTED,
    ERROR,
    FAILED,
    FAILING,
    FAILURE,
    FASTER,
    MISSING,
    NEW,
    NOT_JUDGED,
    PASSED,
    SAME,
    SEVERITIES,
    SLOWER,
    UNKNOWN,
    Verdict,
    grade,
    in_order,
)

POWER = 0.9
PASS, REGRESSION, NO_VERDICT = "pass", "regression", "no verdict"
ACCURACY_SEVERITIES = {SAME: PASSED, WORSE: FAILURE, FAILED: ERROR, UNKNOWN: NOT_JUDGED}
Measure = Callable[[str, int, Sequence[Benchmark]], list[Pair]]


@dataclass(frozen=True)
class Decision:
    """What the gate found.

    **Arguments:**

    - `outcome`: `pass`, `regression` or `no verdict`. `why`: in one line.
    - `verdicts`: one a benchmark, the worst first.
    - `accuracies`: one a trial: `name`, `difference` (of shares, head - base), `low`, `high`, `seeds`, `p`, `verdict`
      (`same`, `worse`, `failed` or `unknown`), `note`, `severity`.
    - `detectable`: the slowdown (a share) that this run would have failed in nine of ten cases: that of the median
      benchmark and of the noisiest one.
    - `control`: the control's shift between the sides, with its interval, as ratios.
    """

    outcome: str
    why: str
    verdicts: list[Verdict]
    accuracies: list[dict[str, Any]]
    detectable: tuple[float, float]
    control: tuple[float, float, float]


def run_gate(settings: Settings, benchmarks: Sequence[Benchmark], measure: Measure) -> list[Pair]:
    """Measures what is needed for a decision, stage by stage, and returns all pairs.

    **Arguments:**

    - `measure`: takes a stage, how many pairs, and the benchmarks that are in it.
    """
    check_settings(settings, len(benchmarks))
    pairs = measure("screen", settings.screen_pairs, benchmarks)
    routed = route(settings, pairs, [benchmark.name for benchmark in benchmarks])
    if not routed:
        return pairs
    pairs += measure("confirm", settings.confirm_pairs, [b for b in benchmarks if b.name in routed])
    judged = judge_times(settings, pairs, [benchmark.name for benchmark in benchmarks])
    open_ = {verdict.name for verdict in judged if verdict.verdict == "unknown"}
    if open_ and settings.extend_pairs:
        pairs += measure("extend", settings.extend_pairs, [b for b in benchmarks if b.name in open_])
    return pairs


def differences(pairs: Sequence[Pair], names: Sequence[str]) -> Array:
    """(pairs, benchmarks): the median over alternations of log(head / base), NaN where a pair has none."""
    rows = [[_datum(pair.blocks.get(name, [])) for name in names] for pair in pairs]
    return np.array(rows, dtype=float).reshape(len(pairs), len(names))


def _datum(blocks: Sequence[Sequence[float]]) -> float:
    return statistics.median(math.log(head / base) for base, head, *_ in blocks) if blocks else math.nan


def _of(pairs: Sequence[Pair], *stages: str) -> list[Pair]:
    return [pair for pair in pairs if pair.stage in stages]


def route(settings: Settings, pairs: Sequence[Pair], names: Sequence[str]) -> list[str]:
    """The benchmarks that have to be confirmed: median slowdown above the routing threshold, or not yet known to be
    within the tolerance.
    """
    routed = []
    for name in names:
        d = differences(_of(pairs, "screen"), [name])[:, 0]
        d = d[~np.isnan(d)]
        if len(d) and (
            float(np.median(d)) > math.log1p(settings.routing_of(name))
            or not upper_bound(d) < math.log1p(settings.tolerance_of(name))
        ):
            routed.append(name)
    return routed


def judge_times(settings: Settings, pairs: Sequence[Pair], names: Sequence[str]) -> list[Verdict]:
    """A verdict on each benchmark that has any pairs, from all stages there are so far."""
    routed = route(settings, pairs, names)
    confirmed, extended = _of(pairs, "confirm"), _of(pairs, "extend")
    alpha = settings.alpha * TIMING_SHARE
    first = dict(zip(routed, sign_flip_max_t(differences(confirmed, routed)), strict=True)) if confirmed else {}
    looks = {name: (confirmed, float(p), alpha * FIRST_LOOK) for name, p in first.items()}
    if extended:
        both = [*confirmed, *extended]
        again = [name for name in routed if any(name in pair.blocks for pair in extended)]
        # The family is still all that was routed: what is looked at again was chosen by the very pairs it is judged on.
        second = dict(zip(routed, sign_flip_max_t(differences(both, routed)), strict=True))
        looks |= {name: (both, float(second[name]), alpha * SECOND_LOOK) for name in again}
    verdicts = []
    for name in names:
        stage, p, level = looks.get(name, (_of(pairs, "screen"), math.nan, 0.0))
        if any(name in pair.blocks for pair in stage):
            verdicts.append(_judge(settings, name, stage, p, level))
    return verdicts


def _judge(settings: Settings, name: str, pairs: Sequence[Pair], p: float, alpha: float) -> Verdict:
    """One benchmark, from the pairs that count for it."""
    d = differences(pairs, [name])[:, 0]
    d = d[~np.isnan(d)]
    shift = hodges_lehmann(d)
    floor, tolerance = math.log1p(settings.floor_of(name)), math.log1p(settings.tolerance_of(name))
    if p <= alpha and shift.value >= floor:
        reason = settings.reason_of(name)
        verdict, note = (SLOWER, "") if reason is None else (ACCEPTED, f"slower, accepted: {reason}")
    elif upper_bound(d) < tolerance:
        verdict = FASTER if shift.high < -floor else SAME
        note = f"slower by less than the floor of {settings.floor_of(name):.1%}" if p <= alpha else ""
    else:
        verdict, note = UNKNOWN, f"up to {format_change(math.exp(upper_bound(d)))} cannot be ruled out"
    blocks = [(pair.iterations[name], pair.blocks[name]) for pair in pairs if name in pair.blocks]
    base, head = ([statistics.median(b[side] for b in rows) / n for n, rows in blocks] for side in (0, 1))
    low, high = math.exp(shift.low), math.exp(shift.high)
    return Verdict(name, verdict, base, head, math.exp(shift.value), low, high, p, note)


def judge_availability(
    settings: Settings, pairs: Sequence[Pair], base: Sequence[str], head: Sequence[str]
) -> list[Verdict]:
    """What could not be compared, and why: nothing is left out in silence.

    **Arguments:**

    - `base`, `head`: names of the benchmarks that either side asks for.
    """
    failed = {side: {n: r for pair in pairs for n, r in pair.failed[side].items()} for side in ("base", "head")}
    verdicts = []
    for name in dict.fromkeys([*head, *base]):
        if name not in head:
            allowed = settings.allow_removed
            note = "removed, as allowed" if allowed else "removed in head; allow it with --allow-removed"
            verdicts.append(Verdict(name, ACCEPTED if allowed else MISSING, note=note))
        elif name in failed["head"] and name not in failed["base"]:
            verdicts.append(Verdict(name, FAILED, note=f"runs on base, fails on head: {failed['head'][name]}"))
        elif name in failed["head"]:
            verdicts.append(Verdict(name, UNKNOWN, note=f"fails on both sides: {failed['head'][name]}"))
        elif name in failed["base"] or name not in base:
            why = failed["base"].get(name, "not in base")
            verdicts.append(Verdict(name, NEW, note=f"nothing to compare with: {why}"))
    return verdicts


def decide(
    settings: Settings,
    pairs: Sequence[Pair],
    base: Sequence[str],
    head: Sequence[str],
    trained: Trained,
    interrupted: bool = False,
) -> Decision:
    """Everything together. The same pairs give the same decision, whenever it is made.

    **Arguments:**

    - `interrupted`: the gate ended before it had measured what it needs: it can fail, and it cannot pass.
    """
    names = [name for name in head if name in base]
    unavailable = judge_availability(settings, pairs, base, head)
    known = {verdict.name for verdict in unavailable}
    times = [one for one in judge_times(settings, pairs, names) if one.name not in known]
    known |= {one.name for one in times}
    unmeasured = [Verdict(name, UNKNOWN, note="no pair has measured it") for name in names if name not in known]
    control, tilted = judge_control(settings, pairs)
    # What is gone, broken or learns worse is so on any machine; only times need a quiet one.
    severities = {**SEVERITIES, MISSING: FAILURE, SLOWER: NOT_JUDGED if tilted else FAILURE}
    verdicts = grade(in_order([*unavailable, *times, *unmeasured]), severities)
    accuracies = judge_accuracies(settings, trained)
    if interrupted:  # seeds that were not trained are those that could have shown it
        accuracies = [
            {**one, "verdict": UNKNOWN, "note": "interrupted before its last seed"} if one["verdict"] == SAME else one
            for one in accuracies
        ]
    accuracies = [{**one, "severity": ACCURACY_SEVERITIES[one["verdict"]]} for one in accuracies]
    outcome, why = _outcome(settings, verdicts, accuracies, tilted)
    if interrupted:
        said = f"the gate was interrupted after {count_of(len(pairs), 'pair')}"
        outcome, why = (REGRESSION, f"{why}; {said}") if outcome == REGRESSION else (NO_VERDICT, said)
    return Decision(outcome, why, verdicts, accuracies, detectable_slowdowns(settings, pairs, names), control)


def judge_control(settings: Settings, pairs: Sequence[Pair]) -> tuple[tuple[float, float, float], bool]:
    """The control's ratio with its interval, and whether the machine favoured a side: two-sided, at alpha, and by more
    than what routes a benchmark; in the stages that can fail, if there are any. Where benchmarks were measured and the
    control was not, nobody knows.
    """
    deciding = _of(pairs, "confirm", "extend") or _of(pairs, "screen")
    d = differences(deciding, [CONTROL])
    d = d[~np.isnan(d).any(axis=1)]
    if not len(d):
        return (math.nan, math.nan, math.nan), any(pair.blocks for pair in pairs)
    shift = hodges_lehmann(d[:, 0])
    p = 2 * min(float(sign_flip_max_t(d)[0]), float(sign_flip_max_t(-d)[0]))
    tilted = p <= settings.alpha and abs(shift.value) > math.log1p(settings.routing)
    return (math.exp(shift.value), math.exp(shift.low), math.exp(shift.high)), tilted


def _outcome(
    settings: Settings, verdicts: Sequence[Verdict], accuracies: Sequence[Mapping[str, Any]], tilted: bool
) -> tuple[str, str]:
    failing = [f"{one.name} {one.verdict}" for one in verdicts if one.severity in FAILING]
    failing += [f"accuracy of {one['name']} {one['verdict']}" for one in accuracies if one["severity"] in FAILING]
    if failing:
        return REGRESSION, "; ".join(failing)
    if tilted:
        return NO_VERDICT, "the control, which no revision changes, differs between the sides: the machine is not quiet"
    compared = sum(bool(one.base_s) for one in verdicts)
    if not compared:
        if new := sum(one.verdict == NEW for one in verdicts):
            return (
                NO_VERDICT,
                f"nothing could be compared: {count_of(new, 'benchmark')} {'is' if new == 1 else 'are'} new",
            )
        return NO_VERDICT, "nothing could be compared"
    if unknown := [f"{one.name} {one.verdict}" for one in verdicts if one.verdict == UNKNOWN]:
        return (NO_VERDICT if settings.strict else PASS), f"{len(unknown)} inconclusive: {'; '.join(unknown)}"
    return PASS, f"{compared} compared, none slower"


def count_of(number: int, what: str) -> str:
    """`1 pair`, `2 pairs`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def detectable_slowdowns(settings: Settings, pairs: Sequence[Pair], names: Sequence[str]) -> tuple[float, float]:
    """The slowdown that a run with this noise fails with 90 % power: of the median benchmark, and of the noisiest.

    Three hurdles have to be taken, and the highest counts: the screen's median above the routing threshold, the
    test significant, and the estimate at least the floor.
    """
    z = 1.2816  # the standard normal's 90 % point
    found = []
    for name in names:
        d = differences(pairs, [name])[:, 0]
        d = d[~np.isnan(d)]
        if len(d) < 2:
            continue
        scatter = spread(d)
        alpha = settings.alpha * TIMING_SHARE * FIRST_LOOK
        found.append(
            max(
                math.log1p(settings.routing_of(name)) + z * scatter * math.sqrt(math.pi / 2 / settings.screen_pairs),
                minimum_detectable_effect(scatter, settings.confirm_pairs, 1, alpha, POWER),
                math.log1p(settings.floor_of(name)) + z * scatter * math.sqrt(math.pi / 3 / settings.confirm_pairs),
            )
        )
    if not found:
        return math.nan, math.nan
    return math.expm1(float(np.median(found))), math.expm1(max(found))
