"""One side of a pair: a fresh process that runs short blocks of its own tree's code when it is told to.

Started by path from the tree that judges, with `PYTHONPATH` naming the tree that is judged: `lenet` and `bench.trial`
are the judged tree's, the timing loop (`timing.py` beside this file) is the judge's, the same for both sides. One JSON
task on standard input, then one command a line; one JSON line back for each. It decides nothing and knows no other
side.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TextIO

CONTROL = "control"
WARM_UP_S = 0.05
Block = Callable[[int], tuple[float, float]]
Emit = Callable[[dict[str, Any]], None]


def main() -> None:
    """Reads the task, says what could be built, then runs blocks until standard input closes."""
    commands, emit = open_channel()
    task = json.loads(commands.readline())
    try:
        serve(task, commands, emit)
    except Exception as error:
        emit({"kind": "broken", "reason": describe(error)})
    leave(0)


def open_channel() -> tuple[TextIO, Emit]:
    """Commands from and results to the parent, on descriptors of their own: what the judged code prints goes to
    standard error and cannot damage a line, and what it reads from standard input is empty.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # die with the parent
    commands, results = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w", buffering=1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)

    def emit(message: dict[str, Any]) -> None:
        results.write(json.dumps(message, allow_nan=False) + "\n")
        results.flush()

    return commands, emit


def leave(code: int) -> NoReturn:
    """Ends this process at once: an interpreter that holds torch takes seconds to go, and nothing is left to do."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


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


def bind(core: int | None) -> None:
    """Keeps this process on one core, where the system can."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def obey(command: dict[str, Any], block: Block) -> dict[str, Any]:
    """`warm_up`: runs a while, answers with seconds an iteration. `block`: runs some iterations, timed. `end`: no more
    will be asked of this benchmark.
    """
    if command["kind"] == "end":
        return {"kind": "ended"}
    if command["kind"] == "warm_up":
        started, iterations, each = time.perf_counter(), 1, 0.0
        while time.perf_counter() - started < WARM_UP_S:
            each = block(iterations)[0] / iterations
            iterations = min(2 * iterations, 1_000)
        return {"kind": "warm", "seconds": each}
    if command["iterations"] > 1:  # a call as long as a block hardly notices
        block(1)  # brings this process's own weights and code back into the caches; untimed
    seconds, cpu_s = block(command["iterations"])
    return {"kind": "block", "seconds": seconds, "cpu_seconds": cpu_s}


def load_judge(name: str) -> ModuleType:
    """A module beside this file, under a name of its own, so that it cannot be taken for the judged tree's."""
    spec = importlib.util.spec_from_file_location(f"judge_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def check_origin(tree: Path, packages: Collection[str] = ("lenet", "bench")) -> None:
    """Raises unless every part of the judged packages that is loaded lies in the judged tree."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in packages and getattr(module, "__file__", None):
            file = Path(str(module.__file__)).resolve()
            if not file.is_relative_to(tree.resolve()):
                raise RuntimeError(f"{name} was imported from {file}, not from {tree.resolve()}")


def build(timing: ModuleType, trial: dict[str, Any]) -> Any:
    """The judged tree's network, optimiser and batch for one trial."""
    from bench.trial import Trial

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


def time_calls(call: Callable[[], object]) -> Block:
    """A block that is timed as a whole, so that the clock's own cost vanishes in it."""

    def block(iterations: int) -> tuple[float, float]:
        cpu_started, started = time.process_time(), time.perf_counter()
        for _ in range(iterations):
            call()
        return time.perf_counter() - started, time.process_time() - cpu_started

    return block


def train(entry: dict[str, Any], data_root: Path) -> dict[str, Any]:
    """Test accuracy of one seed of one trial, trained by the judged tree."""
    from bench.trial import Trial
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


def describe(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]


if __name__ == "__main__":
    main()
