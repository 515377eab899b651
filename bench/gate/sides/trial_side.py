"""One side of a pair: a fresh process that runs short blocks of the judged tree's networks when it is told to.

Started by path (`start.py`), with `PYTHONPATH` naming the tree that is judged: `lenet` is the judged tree's, the timing
loop (`bench/measure/blocks.py`) is the judge's, the same for both sides. One JSON task on standard input, then one
command a line; one JSON line back for each. It decides nothing and knows no other side.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from ...measure.calibration import Block, time_calls
from ...measure.child import Emit, bind, describe
from .channel import CONTROL, check_origin, leave, obey, open_channel


def main() -> None:
    """Reads the task, says what could be built, then runs blocks until standard input closes."""
    commands, emit = open_channel()
    task = json.loads(commands.readline())
    try:
        serve(task, commands, emit)
    except Exception as error:
        emit({"kind": "broken", "reason": describe(error)})
    leave(0)


def serve(task: dict[str, Any], commands: TextIO, emit: Emit) -> None:
    """Runs one task: `train` (accuracy of trials and seeds) or `time` (blocks on command)."""
    import torch

    import lenet.networks  # noqa: F401  # loaded before its origin is looked at

    from ...measure.garbage import quiet_collector

    check_origin(Path(task["tree"]))

    torch.set_num_threads(task["threads"])
    torch.set_flush_denormal(True)
    if task["kind"] == "train":
        for entry in task["trainings"]:
            emit(train(entry, Path(task["data_root"])))
        emit({"kind": "done"})
        return
    blocks: dict[str, Block] = {CONTROL: control_block()}
    failed: dict[str, str] = {}
    subjects: dict[str, Any] = {}
    for benchmark in task["benchmarks"]:
        emit({"kind": "building", "benchmark": benchmark["name"]})  # whoever dies of it, or hangs, is known
        key = json.dumps(benchmark["trial"], sort_keys=True)
        try:
            if key not in subjects:
                subjects[key] = build(benchmark["trial"])
            blocks[benchmark["name"]] = make_block(subjects[key], benchmark["phase"])
        except Exception as error:
            failed[benchmark["name"]] = describe(error)
    bind(task["core"])
    emit({"kind": "ready", "failed": failed})
    with quiet_collector():
        for line in commands:
            command = json.loads(line)
            try:
                emit(obey(command, blocks[command["benchmark"]]))
            except Exception as error:
                emit({"kind": "failed", "reason": describe(error)})


def build(trial: Mapping[str, Any]) -> Any:
    """The judged tree's network, optimiser and batch for one trial, ready to be timed."""
    from lenet.variant import Recipe, Variant

    from ...measure.blocks import build_subject

    return build_subject(Variant(**trial["variant"]), Recipe(**trial["recipe"]), trial["placement"])


def make_block(subject: Any, phase: str) -> Block:
    """A phase of a subject; tried once, so that what cannot run is known before anything is timed."""
    from ...measure.blocks import run_block

    run_block(subject, phase, 1)
    return lambda iterations: run_block(subject, phase, iterations)


def control_block() -> Block:
    """Work that no repository changes: a matrix product, an elementwise chain and a loop of plain Python."""
    import torch

    matrix = torch.randn(96, 96, generator=torch.Generator().manual_seed(0))

    def work() -> None:
        torch.tanh(torch.mm(matrix, matrix)).sum()
        total = 0
        for number in range(2_000):
            total += number

    return time_calls(work)


def train(entry: dict[str, Any], data_root: Path) -> dict[str, Any]:
    """Test accuracy of one seed of one trial, trained by the judged tree as a sweep would train it."""
    from lenet.variant import Recipe, Variant

    from ...measure.learn import fail, learn

    trial, seed = entry["trial"], entry["seed"]
    try:
        variant, recipe = Variant(**trial["variant"]), Recipe(**trial["recipe"])
    except Exception as error:
        result = fail(seed, error)
    else:
        result = learn(variant, recipe, trial["placement"], seed, data_root)
    answer = {"accuracy": result["test_accuracy"], "reason": result["reason"]}
    return {"kind": "trained", "name": entry["name"], "seed": seed, **answer}
