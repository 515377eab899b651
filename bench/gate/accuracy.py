"""The gate's second question: does the head learn worse? Accuracies of both sides go in, a verdict a trial comes out.

The same trials with the same seeds on both sides; it fails as a time does, significant over all trials and by at least
a margin. When the first seeds show so few drops that nothing could be significant any more, whatever the others would
show, they are not trained: the verdicts are the same, and code that learns alike to the bit is known in a third of the
time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bench.gate.settings import ACCURACY_SHARE, Settings
from bench.statistics.intervals import mean_interval
from bench.statistics.paired import sign_flip_max_t
from bench.verdicts.verdict import FAILED, SAME, UNKNOWN

WORSE = "worse"
Training = dict[str, Any]
Trained = Mapping[str, Sequence[Mapping[str, Any]]]


def run_trainings(
    settings: Settings,
    trainings: Sequence[Training],
    train: Callable[[list[Training]], dict[str, list[dict[str, Any]]]],
) -> dict[str, list[dict[str, Any]]]:
    """Trains what a verdict on each trial needs, in one or two rounds; returns it as `judge_accuracies` takes it.

    **Arguments:**

    - `trainings`: `name` and `seed` of each, and whatever else `train` needs.
    - `train`: returns the accuracies of both sides.
    """
    seeds = list(dict.fromkeys(one["seed"] for one in trainings))
    few = next(count for count in range(len(seeds) + 1) if _is_settled(settings, len(seeds) - count))
    trained = train([one for one in trainings if one["seed"] in seeds[:few]])
    drops = max((_drops(sides) for sides in _by_trial(trained).values()), default=0)
    if not _is_settled(settings, len(seeds) - few + drops):
        # All trials or none: the test is one over the whole family, and leaving out what looks well would bend it.
        for side, messages in train([one for one in trainings if one["seed"] in seeds[few:]]).items():
            trained[side] += messages
    return trained


def _is_settled(settings: Settings, drops: int) -> bool:
    """Whether so many seeds that drop are too few for significance, however large the drops are.

    Every sign pattern that leaves those seeds as they are, and flips any of the others, has a signed-rank sum at least
    as high as the observed one: p >= 2^-drops.
    """
    return 2.0**-drops > settings.alpha * ACCURACY_SHARE


def _drops(sides: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> int:
    return sum(
        None not in (base["accuracy"], head["accuracy"]) and head["accuracy"] < base["accuracy"]
        for base, head in ((base, sides["head"][seed]) for seed, base in sides["base"].items())
    )


def _by_trial(trained: Trained) -> dict[str, dict[str, dict[int, Mapping[str, Any]]]]:
    """Messages by trial, side and seed."""
    scores: dict[str, dict[str, dict[int, Mapping[str, Any]]]] = {}
    for side, messages in trained.items():
        for message in messages:
            scores.setdefault(message["name"], {}).setdefault(side, {})[message["seed"]] = message
    return scores


def judge_accuracies(settings: Settings, trained: Trained) -> list[dict[str, Any]]:
    """A verdict on each trial's test accuracy: the same seeds on both sides, a one-sided sign-flip test over seeds.

    **Arguments:**

    - `trained`: by side, a mapping a trial and seed: `name`, `seed`, `accuracy` (None if it failed), `reason`.
    """
    found: list[dict[str, Any]] = []
    columns = []
    for name, sides in _by_trial(trained).items():
        base, head = ({seed: m["accuracy"] for seed, m in sides.get(side, {}).items()} for side in ("base", "head"))
        drops = [base[seed] - head[seed] for seed in base if None not in (base[seed], head.get(seed))]
        lost = [seed for seed in base if base[seed] is not None and head.get(seed) is None]
        verdict, note = (SAME, "") if drops else (UNKNOWN, "no seed was trained on both sides")
        if lost:
            reason = sides.get("head", {}).get(lost[0], {}).get("reason", "no result")
            verdict, note = FAILED, f"learns on base, fails on head: {reason}"
        drop = mean_interval(drops)
        found.append(
            {"name": name, "difference": -drop.value, "low": -drop.high, "high": -drop.low, "seeds": drop.n,
             "p": math.nan, "verdict": verdict, "note": note}
        )  # fmt: skip
        columns.append(drops)
    longest = max(map(len, columns), default=0)
    if not longest:
        return found
    family = np.array([[*column, *[math.nan] * (longest - len(column))] for column in columns]).T
    for one, p in zip(found, sign_flip_max_t(family), strict=True):
        one["p"] = float(p)
        if one["verdict"] == SAME and p <= settings.alpha * ACCURACY_SHARE:
            one["verdict"] = WORSE if -one["difference"] >= settings.accuracy_margin else SAME
    return found
