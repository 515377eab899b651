"""Counts the instructions of benchmarks under callgrind, through torch.utils.benchmark: one side, one process.

Started by path with `PYTHONPATH` naming the judged tree, as `pair_worker.py` is, whose pieces it uses. One JSON task on
standard input, one JSON line a benchmark back. What the counts mean is decided elsewhere.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SHOWN = 400  # functions, the busiest: what two sides are compared by

SETUP = """
import importlib.util, json, sys
def load(name):
    spec = importlib.util.spec_from_file_location("judge_" + name, {folder!r} + "/" + name + ".py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
timing = load("timing")
from bench.trial import Trial
import gc, torch
torch.set_flush_denormal(True)
subject = timing.build_subject(Trial.from_dict(json.loads({trial!r})))
for _ in range(5):
    timing.run_block(subject, {phase!r}, 1)
gc.collect()
gc.freeze()
gc.disable()
"""


def main() -> int:
    """Reads the task and counts."""
    spec = importlib.util.spec_from_file_location("judge_pair_worker", HERE / "pair_worker.py")
    assert spec is not None
    assert spec.loader is not None
    pair_worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pair_worker)
    commands, emit = pair_worker.open_channel()
    task = json.loads(commands.readline())
    # torch starts whatever `python` the path names first under callgrind.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    for benchmark in task["benchmarks"]:
        message = {"kind": "counted", "name": benchmark["name"], "counts": [], "functions": [], "reason": ""}
        try:
            emit(message | count(benchmark, task["iterations"], task["repeats"]))
        except Exception as error:
            emit(message | {"reason": pair_worker.describe(error)})
    emit({"kind": "done"})
    return 0


def count(benchmark: dict[str, Any], iterations: int, repeats: int) -> dict[str, Any]:
    """Instructions of one iteration, a number a repeat, and how many each function took in the first."""
    from torch.utils.benchmark import Timer

    timer = Timer(
        stmt=f"timing.run_block(subject, {benchmark['phase']!r}, 1)",
        setup=SETUP.format(folder=str(HERE), trial=json.dumps(benchmark["trial"]), phase=benchmark["phase"]),
    )
    stats = timer.collect_callgrind(number=iterations, repeats=repeats, collect_baseline=False, retain_out_file=False)
    functions = stats[0].as_standardized().stats(inclusive=False)
    return {
        "counts": [one.counts(denoise=True) / iterations for one in stats],
        "functions": [[one.function, one.count / iterations] for one in itertools.islice(functions, SHOWN)],
    }


if __name__ == "__main__":
    sys.exit(main())
