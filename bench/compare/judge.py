"""Judges two sides that were measured apart, such as two stored runs: a verdict for each benchmark, and one outcome.

What is judged is the ratio of typical times over processes, by Welch's t on the logs, adjusted over all benchmarks by
Holm. No stored result can show what the machine did between the two runs: on a shared machine, runs of five processes
of identical code cut from 13 minutes of recordings were told apart in 4 of 120 comparisons, at an alpha of 1 %. The
gate, which measures in pairs, is the tool where that matters, or where less than 10-15 % must be found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.compare.side import ASSUMED_SPREAD, Accuracy, Measured, Side
from bench.statistics.intervals import Estimate, mean_interval
from bench.statistics.unpaired import compare_times, holm
from bench.verdicts.verdict import (
    FAILED,
    FAILING,
    FASTER,
    MISSING,
    NEW,
    NOT_JUDGED,
    SAME,
    SEVERITIES,
    SLOWER,
    UNKNOWN,
    Verdict,
    count_verdicts,
    grade,
)

TOLERANCE, ALPHA = 0.05, 0.01
PASS, REGRESSION, NO_VERDICT = 0, 1, 3

Pair = tuple[Measured | None, Measured | None]


@dataclass(frozen=True)
class Comparison:
    """What came out: a header and verdicts as `bench.verdicts.verdict` describes them, and the exit code."""

    header: dict[str, Any]
    verdicts: list[Verdict]
    exit_code: int


def compare(base: Side, head: Side, tolerance: float = TOLERANCE, alpha: float = ALPHA) -> Comparison:
    """Judges every benchmark of two sides.

        slower:   adjusted p <= alpha, and the ratio above 1 + tolerance
        faster:   adjusted p <= alpha, and the ratio below 1 / (1 + tolerance)
        same:     the 95 % interval lies within both bounds
        unknown:  none of these; or nothing can be said: other machine, torch, threads, or another trial of that name

    The chance that any benchmark which is not different is called slower or faster is at most alpha, for what varies
    from process to process. The exit code is 1 if something is slower or broke, 3 if machines, torch or threads
    differ or nothing could be judged, else 0; among those it is `inconclusive` if something stays unknown.
    """
    refusal, remarks = judge_places(base.place, head.place)
    pairs = pair_benchmarks(base.benchmarks, head.benchmarks)
    verdicts = [_first_verdict(*pair, refusal=refusal) for pair in pairs]
    adjusted = holm([verdict.p for verdict in verdicts])
    verdicts = [_judge(verdict, float(p), tolerance, alpha) for verdict, p in zip(verdicts, adjusted, strict=True)]
    verdicts = grade(verdicts, dict.fromkeys(SEVERITIES, NOT_JUDGED) if refusal else SEVERITIES)
    threads = any(verdict.verdict == UNKNOWN and verdict.note.startswith("threads") for verdict in verdicts)
    tested = any(not math.isnan(verdict.p) for verdict in verdicts)
    code, outcome = _decide(verdicts, judged=tested and not refusal and not threads)
    notes = [refusal] * bool(refusal) + remarks + _note_assumed(pairs, verdicts)
    if not tested and not refusal and not threads:
        notes.append("no benchmark has times on both sides" if pairs else "neither side has a benchmark")
    header = {
        "title": "lenet-bench compare",
        "base": base.label,
        "head": head.label,
        "outcome": outcome,
        "summary": f"{outcome}: {count_verdicts(verdicts)}",
        "notes": notes,
        "machine": head.machine or {"id": head.place.get("id", ""), "torch": head.place.get("torch", "")},
        "commit": head.commit,
        "settings": {"tolerance": tolerance, "alpha": alpha},
        "accuracy": compare_accuracies(base, head),
    }
    return Comparison(header, verdicts, code)


def _decide(verdicts: Sequence[Verdict], judged: bool) -> tuple[int, str]:
    """The exit code and the outcome; `judged` is whether times could be compared at all."""
    if any(verdict.severity in FAILING for verdict in verdicts):
        return REGRESSION, "regression"
    if not judged:
        return NO_VERDICT, "no verdict"
    return PASS, "inconclusive" if any(verdict.verdict == UNKNOWN for verdict in verdicts) else "pass"


def _note_assumed(pairs: Sequence[Pair], verdicts: Sequence[Verdict]) -> list[str]:
    """What a reader must know where a side had one process only."""
    if not any(
        base and head and (base.assumed or head.assumed) and not math.isnan(verdict.p)
        for (base, head), verdict in zip(pairs, verdicts, strict=True)
    ):
        return []
    return [
        "one process does not show how much processes differ; their spread was taken to be"
        f" {100 * ASSUMED_SPREAD:.0f} %, so that only large changes can be told"
    ]


def judge_places(base: dict[str, str], head: dict[str, str]) -> tuple[str, list[str]]:
    """Why times of two places must not be compared, in one line, or ""; and what else a reader must know.

    The fingerprint decides where both have one, else processor and cores. Nothing known in common: refused.
    """
    shared = {name for name in ("id", "cpu", "cores", "torch") if base.get(name) and head.get(name)}
    which = {"id"} & shared or ({"cpu", "cores"} if {"cpu", "cores"} <= shared else set())
    if not which:
        return "no verdict: on which machine the two sides were measured is not known of both", []
    words = {"id": "machines", "cpu": "processors", "cores": "numbers of cores", "torch": "torch versions"}
    for name in ("id", "cpu", "cores", "torch"):
        if name in which | ({"torch"} & shared) and base[name] != head[name]:
            return f"no verdict: different {words[name]}, {base[name]} and {head[name]}", []
    return "", [] if "torch" in shared else ["the torch version is not known of both sides"]


def pair_benchmarks(base: Sequence[Measured], head: Sequence[Measured]) -> list[Pair]:
    """Which belongs to which: by key, then by name; those without a partner at their place in the base, then the
    head's. A trial that failed stands for each phase that the other side has of it.
    """
    base, head = _spread_failures(base, head), _spread_failures(head, base)
    partners: dict[int, Measured] = {}
    left = list(head)
    for identity in ("key", "name"):
        by_identity = {getattr(m, identity): m for m in reversed(left) if getattr(m, identity)}
        for place, measured in enumerate(base):
            if place not in partners and getattr(measured, identity) in by_identity:
                partners[place] = by_identity.pop(getattr(measured, identity))
        taken = {id(partner) for partner in partners.values()}
        left = [measured for measured in left if id(measured) not in taken]
    paired: list[Pair] = [(measured, partners.get(place)) for place, measured in enumerate(base)]
    return paired + [(None, measured) for measured in left]


def _spread_failures(side: Sequence[Measured], other: Sequence[Measured]) -> list[Measured]:
    """A side's benchmarks, with each failed trial in place of every phase that the other side timed of it."""
    spread: list[Measured] = []
    for measured in side:
        twins = [twin for twin in other if measured.time is None and twin.time and twin.trial == measured.trial]
        spread += [replace(measured, name=twin.name, key="") for twin in twins] or [measured]
    return spread


def _first_verdict(base: Measured | None, head: Measured | None, refusal: str) -> Verdict:
    """What can be said without the rest of the family; a ratio and its p where there is one."""
    if head is None:
        assert base is not None
        return Verdict(base.name, MISSING, base.seconds, note=base.reason or "only the base has it")
    if base is None:
        return Verdict(head.name, NEW, [], head.seconds, note=head.reason or "only the head has it")
    if head.time is None:
        what = UNKNOWN if base.time is None else FAILED
        return Verdict(head.name, what, base.seconds, note=f"{head.reason} (head)")
    if base.time is None:
        return Verdict(head.name, NEW, [], head.seconds, note=f"{base.reason} (base)")
    ratio, p = compare_times(base.time, head.time)
    verdict = Verdict(head.name, UNKNOWN, base.seconds, head.seconds, ratio.value, ratio.low, ratio.high, p)
    other = sorted(k for k in base.knobs.keys() & head.knobs.keys() if base.knobs[k] != head.knobs[k])
    if other or (base.key and head.key and base.key != head.key):
        differences = [
            f"{knob} {base.knobs[knob]} and {head.knobs[knob]}" for knob in sorted(other, key="threads".__ne__)
        ]
        note = f"{', '.join(differences) or 'two different trials of this name'}: not comparable"
        return replace(verdict, p=math.nan, low=math.nan, high=math.nan, note=note)
    return replace(verdict, p=math.nan) if refusal else verdict


def _judge(verdict: Verdict, p: float, tolerance: float, alpha: float) -> Verdict:
    """The verdict once the whole family's p-values are known; `p` is the adjusted one, NaN if nothing was tested."""
    if math.isnan(p):
        return verdict
    bound = 1 + tolerance
    if p <= alpha and verdict.ratio > bound:
        return replace(verdict, p=p, verdict=SLOWER)
    if p <= alpha and verdict.ratio < 1 / bound:
        return replace(verdict, p=p, verdict=FASTER)
    if 1 / bound <= verdict.low and verdict.high <= bound:
        return replace(verdict, p=p, verdict=SAME)
    why = "differs, perhaps by less than the tolerance" if p <= alpha else "the interval is wider than the tolerance"
    return replace(verdict, p=p, note=why)


def compare_accuracies(base: Side, head: Side) -> list[dict[str, Any]]:
    """Head - base for every trial that both have: paired over common seeds, else from the two intervals."""
    names = {measured.key.partition("/")[0] or measured.trial: measured.trial for measured in head.benchmarks}
    rows = []
    for key, after in head.accuracies.items():
        if key in base.accuracies:
            gain = _difference(base.accuracies[key], after)
            rows.append({"name": names.get(key, key), "difference": gain.value, "low": gain.low, "high": gain.high,
                         "seeds": gain.n})  # fmt: skip
    return rows


def _difference(before: Accuracy, after: Accuracy) -> Estimate:
    common = before.by_seed.keys() & after.by_seed.keys()
    if common:
        return mean_interval([after.by_seed[seed] - before.by_seed[seed] for seed in sorted(common)])
    value = after.estimate.value - before.estimate.value
    margin = math.hypot(before.estimate.half_width, after.estimate.half_width)
    return Estimate(value, value - margin, value + margin, min(before.estimate.n, after.estimate.n))
