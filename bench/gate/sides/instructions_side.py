"""Counts the instructions of benchmarks under callgrind, through torch.utils.benchmark: one side, one process.

Started by path with `PYTHONPATH` naming the judged tree, as `trial_side.py` is, whose pieces it uses. One JSON task on
standard input, one JSON line a benchmark back. What the counts mean is decided elsewhere.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

from ...measure.child import describe
from . import channel

START = Path(__file__).with_name("start.py")
SHOWN = 400  # functions, the busiest: what two sides are compared by

SETUP = """
import gc, json, runpy
load = runpy.run_path({start!r})["load"]
import torch
torch.set_flush_denormal(True)
subject = load("gate.sides.trial_side").build(json.loads({trial!r}))
run_block = load("measure.blocks").run_block
for _ in range(5):
    run_block(subject, {phase!r}, 1)
gc.collect()
gc.freeze()
gc.disable()
"""


def main() -> None:
    """Reads the task and counts."""
    commands, emit = channel.open_channel()
    task = json.loads(commands.readline())
    # torch starts whatever `python` the path names first under callgrind.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    for benchmark in task["benchmarks"]:
        message = {"kind": "counted", "name": benchmark["name"], "counts": [], "functions": [], "reason": ""}
        try:
            emit(message | count(benchmark, task["iterations"], task["repeats"]))
        except Exception as error:
            emit(message | {"reason": describe(error)})
    emit({"kind": "done"})


def count(benchmark: dict[str, Any], iterations: int, repeats: int) -> dict[str, Any]:
    """Instructions of one iteration, a number a repeat, and how many each function took in the first."""
    from torch.utils.benchmark import Timer

    timer = Timer(
        stmt=f"run_block(subject, {benchmark['phase']!r}, 1)",
        setup=SETUP.format(start=str(START), trial=json.dumps(benchmark["trial"]), phase=benchmark["phase"]),
    )
    stats = timer.collect_callgrind(number=iterations, repeats=repeats, collect_baseline=False, retain_out_file=False)
    functions = stats[0].as_standardized().stats(inclusive=False)
    return {
        "counts": [one.counts(denoise=True) / iterations for one in stats],
        "functions": [[one.function, one.count / iterations] for one in itertools.islice(functions, SHOWN)],
    }
