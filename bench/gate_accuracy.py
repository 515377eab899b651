"""The gate's second question: does the head learn worse? Accuracies of both sides go in, a verdict a trial comes out.

The same trials with the same seeds on both sides; it fails as a time does, significant over all trials and by at least
a margin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.gate_settings import ACCURACY_SHARE, Settings
from bench.statistics import mean_interval, sign_flip_max_t
from bench.verdict import FAILED, SAME, UNKNOWN

WORSE = "worse"
Trained = Mapping[str, Sequence[Mapping[str, Any]]]


def judge_accuracies(settings: Settings, trained: Trained) -> list[dict[str, Any]]:
    """A verdict on each trial's test accuracy: the same seeds on both sides, a one-sided sign-flip test over seeds.

    **Arguments:**

    - `trained`: by side, a mapping a trial and seed: `name`, `seed`, `accuracy` (None if it failed), `reason`.
    """
    scores: dict[str, dict[str, dict[int, Any]]] = {}
    for side, messages in trained.items():
        for message in messages:
            scores.setdefault(message["name"], {}).setdefault(side, {})[message["seed"]] = message
    found: list[dict[str, Any]] = []
    columns = []
    for name, sides in scores.items():
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
