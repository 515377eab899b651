"""One side of a pair: a fresh process that runs short blocks of its own tree's code when it is told to.

Started by path from the tree that judges, with `PYTHONPATH` naming the tree that is judged: `lenet` and
`bench.experiment.trial` are the judged tree's, the timing loop (`timing.py` beside this file) is the judge's, the same
for both sides. One JSON task on standard input, then one command a line; one JSON line back for each. It decides
nothing and knows no other side.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

from bench.gate.sides.channel import (
    CONTROL,
    Block,
    Emit,
    bind,
    check_origin,
    describe,
    leave,
    obey,
    open_channel,
    time_calls,
)


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
    timing, collector = load_judge("timing"), load_judge("collector")
    check_origin(Path(task["tree"]))
    import torch

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
                subjects[key] = build(timing, benchmark["trial"])
            blocks[benchmark["name"]] = make_block(timing, subjects[key], benchmark["phase"])
        except Exception as error:
            failed[benchmark["name"]] = describe(error)
    bind(task["core"])
    emit({"kind": "ready", "failed": failed})
    with collector.quiet_collector():
        for line in commands:
            command = json.loads(line)
            try:
                emit(obey(command, blocks[command["benchmark"]]))
            except Exception as error:
                emit({"kind": "failed", "reason": describe(error)})


def load_judge(name: str) -> ModuleType:
    """A module beside this file, under a name of its own, so that it cannot be taken for the judged tree's."""
    spec = importlib.util.spec_from_file_location(f"judge_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def build(timing: ModuleType, trial: dict[str, Any]) -> Any:
    """The judged tree's network, optimiser and batch for one trial."""
    from bench.experiment.trial import Trial

    return timing.build_subject(Trial.from_dict(trial))


def make_block(timing: ModuleType, subject: Any, phase: str) -> Block:
    """A phase of a subject; tried once, so that what cannot run is known before anything is timed."""
    timing.run_block(subject, phase, 1)
    return lambda iterations: timing.run_block(subject, phase, iterations)


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
    """Test accuracy of one seed of one trial, trained by the judged tree."""
    from bench.experiment.trial import Trial
    from lenet.data import load
    from lenet.networks import build
    from lenet.step import TrainingStep
    from lenet.training import fit
    from lenet.variant import Form

    message = {"kind": "trained", "name": entry["name"], "seed": entry["seed"], "accuracy": None, "reason": ""}
    try:
        trial = Trial.from_dict(entry["trial"])
        form = Form.of(trial.recipe, trial.variant.input_size, draw=entry["seed"])
        data = load(trial.recipe.data, data_root, form=form)
        step = TrainingStep(build(trial.variant, seed=entry["seed"]), trial.recipe)
        result = fit(step, data, trial.recipe, entry["seed"])
        message |= {"accuracy": result.test_accuracy, "reason": result.reason}
    except Exception as error:
        message["reason"] = describe(error)
    return message


if __name__ == "__main__":
    main()
