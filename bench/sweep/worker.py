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
from pathlib import Path
from typing import Any, TextIO

from bench.measure.child import Emit, classify, describe, die_with_parent
from lenet.extensions import load_extensions


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
    import torch

    from bench.experiment.trial import Trial
    from lenet.data import load
    from lenet.files import digest
    from lenet.networks import build, count
    from lenet.step import TrainingStep
    from lenet.training import fit
    from lenet.variant import Form

    started = time.perf_counter()
    message: dict[str, Any] = {"kind": "seed", "seed": task["seed"]}
    try:
        load_extensions(task["extensions"])
        trial = Trial.from_dict(task["trial"])
        variant, placement = trial.variant, trial.placement
        if task.get("core") is not None and placement.threads == 1 and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {task["core"]})
        torch.set_num_threads(placement.threads)
        torch.set_flush_denormal(True)
        root = Path(task["data_root"])
        form = Form.of(trial.recipe, variant.input_size, draw=task["seed"])
        data = load(trial.recipe.data, root, form=form, device=placement.device)
        network: dict[str, Any] = {}
        if variant.is_network:
            model = build(variant, seed=task["seed"])
            network = count(model, (variant.channels, variant.input_size, variant.input_size))
            step = TrainingStep(
                model,
                trial.recipe,
                device=placement.device,
                dtype=placement.dtype,
                memory_format=placement.memory_format,
                backend=placement.backend,
            )
            result = fit(step, data, trial.recipe, task["seed"])
        else:
            from lenet.baselines import fit_baseline

            result = fit_baseline(variant.architecture, data, task["seed"])
        message |= {
            "status": result.status,
            "cause": result.cause,
            "reason": result.reason,
            "history": result.history,
            "best_epoch": result.best_epoch,
            "test_accuracy": result.test_accuracy,
            "test_loss": result.test_loss,
            "train_s": result.train_s,
            "evaluate_s": result.evaluate_s,
            "train_accuracy": result.train_accuracy,
            "rejection": result.rejection,
            "network": network,
            "data_digest": digest(trial.recipe.data, root),
        }
        if task.get("weights") and variant.is_network and result.status == "ok":
            torch.save({name: value.cpu() for name, value in model.state_dict().items()}, task["weights"])
    except Exception as error:
        message |= {"status": "failed", "cause": classify(error), "reason": describe(error)}
    message["wall_s"] = time.perf_counter() - started
    unit = 1 if sys.platform == "darwin" else 1024
    message["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    emit(message)


def time_trials(task: dict[str, Any], emit: Emit, acknowledgements: TextIO) -> None:
    """One timing process: builds and warms up every trial, then times rounds of one block a phase of each.

    The order of trials and phases is drawn anew each round, so that drift of the machine falls on all alike. Before
    each block the trial's number is written to the file `task["cursor"]`, so that a crash can be laid at one trial's
    door. Emits a `trial` line each when built, a `round` line after each round, and `failed` for a trial that raised.
    After a `round` line it waits for a line on standard input: `go` or `stop`.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler that counts memory prints to the log otherwise
    import torch

    from bench.experiment.trial import Trial
    from bench.measure.blocks import Subject, build_subject, measure_peak_memory, run_block, warm_up
    from bench.measure.garbage import quiet_collector

    torch.set_flush_denormal(True)
    block_s, phases = task["block_s"], task["phases"]
    order = random.Random(task["order_seed"])
    cursor = os.open(task["cursor"], os.O_WRONLY | os.O_CREAT)
    subjects: dict[str, Subject] = {}
    keys = [entry["key"] for entry in task["trials"]]
    load_extensions(task["extensions"])
    for place in order.sample(range(len(keys)), len(keys)):
        key = keys[place]
        os.pwrite(cursor, b"%8d" % place, 0)
        try:
            trial = Trial.from_dict(task["trials"][place]["trial"])
            subject = build_subject(trial.variant, trial.recipe, dataclasses.asdict(trial.placement))
            warm_up(subject, phases, block_s)
            subject.peak_memory_bytes = measure_peak_memory(subject)
        except Exception as error:
            emit({"kind": "failed", "key": key, "cause": classify(error), "reason": describe(error)})
            continue
        subjects[key] = subject
        emit(
            {
                "kind": "trial",
                "key": key,
                "network": subject.network,
                "prepare_s": subject.prepare_s,
                "warmup_s": subject.warmup_s,
                "peak_memory_bytes": subject.peak_memory_bytes,
            }
        )
    with quiet_collector():
        for number in range(task["rounds"] if subjects else 0):
            samples: dict[str, dict[str, list[float]]] = {key: {} for key in subjects}
            blocks = [(key, phase) for key, subject in subjects.items() for phase in subject.iterations]
            order.shuffle(blocks)
            for key, phase in blocks:
                subject = subjects[key]
                os.pwrite(cursor, b"%8d" % keys.index(key), 0)
                torch.set_num_threads(subject.threads)
                # One untimed pass brings the trial's own weights and code back into the caches.
                run_block(subject, phase, 1)
                seconds, cpu_s = run_block(subject, phase, subject.iterations[phase])
                samples[key][phase] = [subject.iterations[phase], seconds, cpu_s]
            emit({"kind": "round", "round": number, "samples": samples})
            if acknowledgements.readline().strip() != "go":
                break
    emit({"kind": "done"})


if __name__ == "__main__":
    sys.exit(main())
