"""The child process: one JSON task on standard input, JSON lines on standard output. Imported by nobody but the fork
server.

Tasks: `train` (one seed of one trial), `time` (all trials of one device, rounds interleaved), `probe` (is there a CUDA
device?) and `choices` (the names that a user's extensions register). The timing worker waits for a line after each
round, so that whatever its parent does in between - writing, drawing - happens while nothing is timed. It never sees
MLflow or a table.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from bench.measure.child import Emit, bind, classify, describe, die_with_parent
from lenet.extensions import load_extensions

if TYPE_CHECKING:
    from bench.measure.blocks import Subject


def main() -> int:
    """Runs the task on standard input. Exit code 0 even where a trial failed: that is a line of its own."""
    die_with_parent()
    # Results get the real standard output; whatever else prints goes to standard error and cannot damage a line.
    results = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def emit(message: dict[str, Any]) -> None:
        results.write(json.dumps(message, allow_nan=False) + "\n")
        results.flush()

    task = json.loads(sys.stdin.readline())
    run(task, emit, sys.stdin)
    return 0


def run(task: dict[str, Any], emit: Emit, acknowledgements: TextIO | None = None) -> None:
    """Runs one task. What a trial does wrong is emitted; only a task that cannot be understood raises."""
    kind = task["kind"]
    if kind == "probe":
        emit(probe())
    elif kind == "choices":
        try:
            load_extensions(task["extensions"])
        except Exception as error:
            emit({"kind": "failed", "cause": "error", "reason": describe(error)})
            return
        from lenet.variant import CHOICES

        emit({"kind": "choices", "choices": {knob: sorted(names) for knob, names in CHOICES.items()}})
    elif kind == "train":
        train(task, emit)
    elif kind == "time":
        assert acknowledgements is not None
        time_trials(task, emit, acknowledgements)
    else:
        raise ValueError(f"unknown task {kind!r}")


def probe() -> dict[str, Any]:
    """Whether torch sees a CUDA device, and why not."""
    import torch

    if torch.cuda.is_available():
        return {"kind": "probe", "cuda": True, "reason": "", "name": torch.cuda.get_device_name()}
    reason = "this build of torch has no CUDA" if torch.version.cuda is None else "torch finds no CUDA device"
    return {"kind": "probe", "cuda": False, "reason": reason, "name": ""}


def train(task: dict[str, Any], emit: Emit) -> None:
    """Trains one seed of one trial and emits a `seed` line: the fields of `bench.records.record.SeedResult`, and the
    network.
    """
    from bench.experiment.trial import Trial
    from bench.measure.learn import fail, learn

    started = time.perf_counter()
    try:
        load_extensions(task["extensions"])
        trial = Trial.from_dict(task["trial"])
    except Exception as error:
        message = fail(task["seed"], error)
    else:
        if trial.placement.threads == 1:
            bind(task.get("core"))
        message = learn(
            trial.variant,
            trial.recipe,
            dataclasses.asdict(trial.placement),
            task["seed"],
            Path(task["data_root"]),
            weights=Path(task["weights"]) if task.get("weights") else None,
        )
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    emit({"kind": "seed", **message, "wall_s": time.perf_counter() - started, "peak_memory_bytes": peak})


def time_trials(task: dict[str, Any], emit: Emit, acknowledgements: TextIO) -> None:
    """One timing process: builds and warms up every trial, then times rounds of one block a phase of each.

    The order of trials and phases is drawn anew each round, so that drift of the machine falls on all alike. Before
    each block the trial's number is written to the file `task["cursor"]`, so that a crash can be laid at one trial's
    door. Emits a `trial` line each when built, a `round` line after each round, and `failed` for a trial that raised.
    After a `round` line it waits for a line on standard input: `go` or `stop`.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler that counts memory prints to the log otherwise
    import torch

    from bench.measure.garbage import quiet_collector

    torch.set_flush_denormal(True)
    order = random.Random(task["order_seed"])
    cursor = os.open(task["cursor"], os.O_WRONLY | os.O_CREAT)
    sys.path += [
        folder for folder in task.get("path", ()) if folder not in sys.path
    ]  # where a factory is imported from
    load_extensions(task["extensions"])
    places = {entry["key"]: place for place, entry in enumerate(task["trials"])}

    def point_at(key: str) -> None:
        os.pwrite(cursor, b"%8d" % places[key], 0)

    subjects = _build_subjects(task, order, point_at, emit)
    with quiet_collector():
        for number in range(task["rounds"] if subjects else 0):
            emit({"kind": "round", "round": number, "samples": _time_round(subjects, order, point_at)})
            if acknowledgements.readline().strip() != "go":
                break
    emit({"kind": "done"})


def _build_subjects(
    task: dict[str, Any], order: random.Random, point_at: Callable[[str], None], emit: Emit
) -> dict[str, Subject]:
    """Every trial built, warmed up and its memory measured, by key and in random order; what fails is emitted."""
    from bench.measure.blocks import measure_peak_memory, warm_up

    subjects: dict[str, Subject] = {}
    for entry in order.sample(task["trials"], len(task["trials"])):
        key = entry["key"]
        point_at(key)
        try:
            subject = _build_subject(entry)
            warm_up(subject, task["phases"], task["block_s"])
            if "trial" in entry:
                subject.peak_memory_bytes = measure_peak_memory(subject)
        except Exception as error:
            emit({"kind": "failed", "key": key, "cause": classify(error), "reason": describe(error)})
            continue
        subjects[key] = subject
        built = {name: getattr(subject, name) for name in ("network", "prepare_s", "warmup_s", "peak_memory_bytes")}
        emit({"kind": "trial", "key": key, **built})
    return subjects


def _build_subject(entry: dict[str, Any]) -> Subject:
    """One entry of a `time` task: a trial, or a user's own module by its factory's name (`bench.api.time_module`)."""
    from bench.experiment.trial import Trial
    from bench.measure.blocks import build_subject
    from bench.measure.factory import build_from_factory

    if "factory" in entry:
        return build_from_factory(entry["factory"], entry["batch"], entry["device"], entry["threads"])
    trial = Trial.from_dict(entry["trial"])
    return build_subject(trial.variant, trial.recipe, dataclasses.asdict(trial.placement))


def _time_round(
    subjects: dict[str, Subject], order: random.Random, point_at: Callable[[str], None]
) -> dict[str, dict[str, list[float]]]:
    """One block a phase of each subject, in random order: `[iterations, seconds, cpu_seconds]` by key and phase."""
    import torch

    from bench.measure.blocks import run_block

    samples: dict[str, dict[str, list[float]]] = {key: {} for key in subjects}
    blocks = [(key, phase) for key, subject in subjects.items() for phase in subject.iterations]
    order.shuffle(blocks)
    for key, phase in blocks:
        subject = subjects[key]
        point_at(key)
        torch.set_num_threads(subject.threads)
        # One untimed pass brings the trial's own weights and code back into the caches.
        run_block(subject, phase, 1)
        seconds, cpu_s = run_block(subject, phase, subject.iterations[phase])
        samples[key][phase] = [subject.iterations[phase], seconds, cpu_s]
    return samples


if __name__ == "__main__":
    sys.exit(main())
