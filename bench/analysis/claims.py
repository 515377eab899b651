"""What the literature claims, held against our own runs.

The claims are data (`claims.toml`). A finding is never better than its interval: a figure is reproduced only if our
95 % interval contains it or is wholly better, an order only if every pair of it is significant, all pairs together.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.analysis.rejection import TARGETS, ranked_seeds, resampled_shares, share_to_reject, test_images
from bench.errors import RecordError
from bench.records.reading import Reading
from bench.records.record import Record
from bench.records.run import Run, find_run
from bench.statistics.intervals import UNKNOWN, Estimate, mean_interval, share_interval
from bench.text.numbers import format_points

CLAIMS = Path(__file__).with_name("claims.toml")
ALPHA = 0.05
DRAWS = 500  # of test sets
COUNTS = ("parameters", "connections", "macs", "units")
REPRODUCED, NOT_REPRODUCED, DATA_DIFFER = "reproduced", "not reproduced", "data differ"
ONLY_REMEMBERED, NOT_RUN = "only remembered", "not run"

Knobs = Mapping[str, Any]


@dataclass(frozen=True)
class Claim:
    """One claim of the literature; `claims.toml` says what the fields mean."""

    text: str
    source: str
    experiment: str
    trial: Knobs = field(default_factory=dict)
    measure: str = "test_error"
    published: float | None = None
    exact: int | None = None
    chain: Sequence[Knobs] = ()
    better: Knobs = field(default_factory=dict)
    worse: Sequence[Knobs] = ()
    remembered: bool = False
    other_data: str = ""

    @property
    def pairs(self) -> list[tuple[Knobs, Knobs]]:
        """The (better, worse) pairs of an order; none for a figure or a count."""
        if self.chain:
            return list(zip(self.chain, self.chain[1:], strict=False))
        return [(self.better, worse) for worse in self.worse]

    @property
    def experiments(self) -> set[str]:
        """Every experiment that it looks at."""
        return {self.experiment, *(str(side.get("experiment", self.experiment)) for p in self.pairs for side in p)}


@dataclass(frozen=True)
class Finding:
    """A claim and what our runs say to it.

    **Arguments:**

    - `ours`: our figure with its interval, in percent; for an order the difference of the least certain pair; unknown
      if there is none.
    - `verdict`: `reproduced`, `not reproduced`, `data differ`, `only remembered` or `not run`.
    - `note`: what a reader must know beside it.
    """

    claim: Claim
    ours: Estimate
    verdict: str
    note: str = ""


def read_claims(path: Path = CLAIMS) -> list[Claim]:
    """The claims in the order of the file."""
    return [Claim(**values) for values in tomllib.loads(path.read_text(encoding="utf-8"))["claim"]]


def find_readings(results: Path, claims: Sequence[Claim]) -> dict[str, Reading]:
    """The newest run of each experiment that a claim looks at; those that were never run are left out."""
    readings = {}
    for name in dict.fromkeys(name for claim in claims for name in sorted(claim.experiments)):
        try:
            readings[name] = Reading(Run.open(find_run(results, name)))
        except RecordError:
            continue
    return readings


def judge_all(claims: Sequence[Claim], readings: Mapping[str, Reading]) -> list[Finding]:
    """A finding a claim."""
    records = {name: list(reading) for name, reading in readings.items()}
    return [judge(claim, records) for claim in claims]


def judge(claim: Claim, records: Mapping[str, Sequence[Record]]) -> Finding:
    """What the records of each experiment say to a claim."""
    if claim.pairs:
        return judge_order(claim, records)
    record = find_record(claim, claim.trial, records)
    if isinstance(record, str):
        return Finding(claim, UNKNOWN, NOT_RUN, record)
    if claim.exact is not None:
        count = record.network.get(claim.measure, math.nan)
        verdict = REPRODUCED if count == claim.exact else NOT_REPRODUCED
        return Finding(claim, Estimate(count, count, count, 1), verdict)
    ours, note = interval(record, claim.measure)
    assert claim.published is not None
    if claim.remembered:
        return Finding(claim, ours, ONLY_REMEMBERED, note)
    if claim.other_data:
        return Finding(claim, ours, DATA_DIFFER, claim.other_data)
    if math.isnan(ours.low):
        return Finding(claim, ours, NOT_REPRODUCED, "one seed has no interval")
    if ours.high < claim.published:
        return Finding(claim, ours, REPRODUCED, "; ".join(filter(None, ["better", note])))
    contained = ours.low <= claim.published <= ours.high
    return Finding(claim, ours, REPRODUCED if contained else NOT_REPRODUCED, note)


def judge_order(claim: Claim, records: Mapping[str, Sequence[Record]]) -> Finding:
    """Every pair must be significant at alpha divided by the number of pairs (Bonferroni); seeds are paired."""
    missing, doubtful, worst = [], [], UNKNOWN
    for better, worse in claim.pairs:
        sides = [find_record(claim, knobs, records) for knobs in (better, worse)]
        missing += [side for side in sides if isinstance(side, str)]
        pair = [side for side in sides if isinstance(side, Record)]
        if len(pair) < 2:
            continue
        difference = paired_difference(pair[1], pair[0], claim.measure, 1 - ALPHA / len(claim.pairs))
        if not difference.low > 0:
            reverse = " (the reverse)" if difference.high < 0 else ""
            points = format_points(difference.value, difference.low, difference.high)
            doubtful.append(f"{pair[0].name} against {pair[1].name}: {points}{reverse}")
        if worst is UNKNOWN or not difference.low >= worst.low:
            worst = difference
    if missing:
        return Finding(claim, worst, NOT_RUN, "; ".join(dict.fromkeys(missing)))
    if doubtful:
        return Finding(claim, worst, NOT_REPRODUCED, "not shown: " + "; ".join(doubtful))
    return Finding(claim, worst, REPRODUCED, f"{len(claim.pairs)} pairs" if len(claim.pairs) > 1 else "")


def find_record(claim: Claim, knobs: Knobs, records: Mapping[str, Sequence[Record]]) -> Record | str:
    """The one finished record that has these knobs, or why there is none, in a few words."""
    name = str(knobs.get("experiment", claim.experiment))
    wanted = {knob: value for knob, value in knobs.items() if knob != "experiment"}
    if name not in records:
        return f"no run of {name}"
    listed = ", ".join(map(str, wanted.values()))
    for record in records[name]:
        if record.status == "ok" and wanted.items() <= record.knobs().items():
            return record
    return f"{listed} is missing in {name}"


def values_by_seed(record: Record, measure: str) -> dict[int, float]:
    """A measure in percent, the smaller the better, for each seed that has it."""
    if measure == "test_error":
        return {seed: 100 * (1 - accuracy) for seed, accuracy in record.accuracies().items()}
    if measure == "train_error":
        return {s.seed: 100 * (1 - s.train_accuracy) for s in record.seeds if s.train_accuracy is not None}
    _, kind, target = measure.split("_")
    images = test_images(record)
    return {s.seed: 100 * share_to_reject(s.rejection[kind], images, TARGETS[target]) for s in ranked_seeds(record)}


def interval(record: Record, measure: str) -> tuple[Estimate, str]:
    """The mean over seeds with Student's interval, and what a reader must know of it.

    With one seed of a method that draws nothing, what is random are the test images: then the interval is over those.
    A rejected share hangs on the few errors that are hardest to tell, so its interval is wide enough for both: the
    variance over test sets drawn anew (the seeds share theirs) is added to that of the mean over seeds.
    """
    values = list(values_by_seed(record, measure).values())
    estimate = mean_interval(values)
    if len(values) == 1 and measure == "test_error" and not record.network:
        images = test_images(record)
        share = share_interval(round(values[0] / 100 * images), images, 1 - ALPHA)
        return Estimate(values[0], 100 * share.low, 100 * share.high, images), "interval over the test images"
    if measure.startswith("reject_") and estimate.n > 1:
        margin = math.hypot(estimate.half_width, 1.96 * 100 * spread_over_images(record, measure))
        low, high = max(0.0, estimate.value - margin), min(100.0, estimate.value + margin)
        return Estimate(estimate.value, low, high, estimate.n), "interval over seeds and test images"
    return dataclasses.replace(estimate, low=max(0.0, estimate.low) if estimate.n > 1 else estimate.low), ""


def spread_over_images(record: Record, measure: str) -> float:
    """The standard deviation of a rejected share over test sets drawn anew, typical of the record's seeds."""
    _, kind, target = measure.split("_")
    images, error = test_images(record), TARGETS[target]
    drawn = [resampled_shares(s.rejection[kind], images, error, DRAWS).var() for s in ranked_seeds(record)]
    return math.sqrt(sum(drawn) / len(drawn))


def paired_difference(first: Record, second: Record, measure: str, confidence: float) -> Estimate:
    """First minus second, paired by seed; a method with a single seed stands for every seed of the other."""
    a, b = values_by_seed(first, measure), values_by_seed(second, measure)
    if len(a) == 1 < len(b):
        a = dict.fromkeys(b, *a.values())
    elif len(b) == 1 < len(a):
        b = dict.fromkeys(a, *b.values())
    return mean_interval([a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())], confidence)
