"""Finds how much extra work slows a benchmark by a share of its time, and measures the share that it really takes.

Started by path with `PYTHONPATH` naming a tree that `bench.gate.injection` has changed. One JSON task in, one JSON line
out.
"""

from __future__ import annotations

import json
import math
import random
import statistics
from collections.abc import Callable
from typing import Any

from ...measure.calibration import count_iterations, warm_up_block
from ...measure.child import describe
from ...measure.garbage import quiet_collector
from . import channel
from .trial_side import build, make_block

ROUGH, FINE = 20, 1000  # pairs of blocks: the median of the fine ones is known to 0.2 points
LARGEST = 1 << 13
CLEAR = 6
NEAR, CORRECTIONS = 0.1, 3


def main() -> None:
    """Reads the task, searches, answers."""
    commands, emit = channel.open_channel()
    task = json.loads(commands.readline())
    try:
        block = make_block(build(task["trial"]), task["phase"])
        warm_up_block(block)
        with quiet_collector():
            iterations = count_iterations(task["block_s"], block(10)[0] / 10)
            command = {"kind": "block", "iterations": iterations}

            def run() -> float:
                # As in the gate, since what the work costs depends on what ran just before it; in CPU seconds, in which
                # waiting for a busy machine does not count.
                return float(channel.obey(command, block)["cpu_seconds"])

            emit({"kind": "found"} | search(run, math.log1p(task["share"])))
    except Exception as error:
        emit({"kind": "broken", "reason": describe(error)})


def search(run: Callable[[], float], target: float) -> dict[str, Any]:
    """The amount of a log slowdown near the target: doubled until the slowdown is several times as large and stands
    clear of the noise, interpolated, and corrected while it is off. The share that is told is measured afresh: the
    ones it was corrected by were looked at until they pleased.
    """
    from lenet import networks

    extra = networks._extra  # type: ignore[attr-defined]  # only in a tree that was changed

    def slowdown(amount: int, rounds: int) -> float:
        logs = []
        for _ in range(rounds):
            seconds = {}
            for one in random.sample([0, amount], 2):
                extra["amount"] = one
                seconds[one] = run()
            logs.append(math.log(seconds[amount] / seconds[0]))
        return statistics.median(logs)

    amounts, reached = [1], [slowdown(1, ROUGH)]
    while reached[-1] < CLEAR * target and amounts[-1] < LARGEST:
        amounts.append(2 * amounts[-1])
        reached.append(slowdown(amounts[-1], ROUGH))
    slope, start = statistics.linear_regression(amounts, reached) if len(amounts) > 1 else (reached[0], 0.0)
    amount = max(1, min(LARGEST, round((target - start) / max(slope, 1e-9))))
    for _ in range(CORRECTIONS):
        missing = target - slowdown(amount, FINE)
        if abs(missing) < NEAR * target:
            break
        amount = max(1, min(LARGEST, amount + round(missing / max(slope, 1e-9))))
    return {"amount": amount, "share": math.expm1(slowdown(amount, FINE))}
