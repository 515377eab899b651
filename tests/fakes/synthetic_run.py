"""Runs of thousands of made-up trials at their true size, without training: `python synthetic_run.py FOLDER TRIALS`.

Three seeds of 20 epochs and five processes of five rounds a trial, drawn from a seed, with effects of the axes in them.
"""

import itertools
import math
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.experiment.trial import PHASES, Trial
from bench.records.journal import encode
from bench.records.record import Record, SeedResult, Timing
from bench.records.run import Run

START_S = 1_760_000_000.0
ACTIVATIONS = {
    "relu": (0.985, 1.0),
    "tanh": (0.982, 1.1),
    "gelu": (0.986, 1.25),
    "silu": (0.984, 1.2),
    "elu": (0.98, 1.15),
}
POOLINGS = {"max": (0.0, 1.0), "avg": (-0.004, 0.9)}


def make_axes(trials):
    """Axes whose product is `trials`, a multiple of 100."""
    rates = [float(f"{0.001 * 1.05**place:.4g}") for place in range(trials // 100)]
    return {
        "activation": list(ACTIVATIONS),
        "pooling": list(POOLINGS),
        "batch_size": [8, 16, 24, 32, 48, 64, 96, 128, 192, 256],
        "learning_rate": rates,
    }


def make_record(draw, knobs, place):
    """One trial: accuracy and times follow the knobs, with noise a seed and a process."""
    trial = Trial.from_knobs(knobs)
    accuracy = ACTIVATIONS[knobs["activation"]][0] + POOLINGS[knobs["pooling"]][0]
    accuracy -= 0.01 * abs(math.log10(knobs["learning_rate"] / 0.03))
    speed = ACTIVATIONS[knobs["activation"]][1] * POOLINGS[knobs["pooling"]][1]
    seeds = []
    for seed in range(3):
        top = accuracy + draw.gauss(0, 0.002)
        history = [
            {"epoch": epoch, "updates": 22 * epoch, "learning_rate": knobs["learning_rate"],
             "train_loss": 2.3 * math.exp(-epoch / 4) + draw.random() / 50,
             "validation_loss": 2.3 * math.exp(-epoch / 5) + draw.random() / 50,
             "validation_accuracy": top - 0.8 * math.exp(-epoch / 3)}
            for epoch in range(1, 21)
        ]  # fmt: skip
        seeds.append(
            SeedResult(seed=seed, history=history, best_epoch=20, test_accuracy=min(1.0, top), test_loss=0.1,
                       train_s=draw.uniform(2, 3), evaluate_s=0.2, wall_s=3.2, peak_memory_bytes=400 << 20)
        )  # fmt: skip
    samples = {}
    for order, phase in enumerate(PHASES):
        blocks = []
        for process in range(5):
            base = speed * (order + 1) * knobs["batch_size"] * 2e-5 * math.exp(draw.gauss(0, 0.01))
            for number in range(5):
                seconds = 20 * base * math.exp(abs(draw.gauss(0, 0.01)))
                blocks.append([process, number, 20, seconds, seconds * 0.99])
        samples[phase] = blocks
    return Record(
        key=trial.key, name="-".join(map(str, knobs.values())), trial=trial.to_dict(), status="ok", seeds=seeds,
        timing=Timing(samples=samples, warmup_s=[0.1] * 5, peak_memory_bytes=(5 << 20) + knobs["batch_size"] * 10_000,
                      stopped="narrow"),
        network={"parameters": 61_706, "macs": 416_520, "layers": [
            {"name": name, "parameters": 10_000, "macs": 70_000} for name in ("c1", "s2", "c3", "s4", "c5", "f6", "out")
        ]},
        started_s=START_S + place, ended_s=START_S + place + 0.5,
    )  # fmt: skip


def make_synthetic_run(path, trials, seed=0, uid="synthetic"):
    """A run's folder with as many successful trials."""
    axes, draw = make_axes(trials), random.Random(seed)
    combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    planned, lines = [], []
    for place, knobs in enumerate(combinations):
        record = make_record(draw, knobs, place)
        planned.append({"key": record.key, "name": record.name, "trial": record.trial})
        lines.append(encode(record.to_dict()) + "\n")
    experiment = {
        "name": "synthetic", "uid": uid, "question": "Does it scale?", "expect": "", "axes": axes, "seeds": [0, 1, 2],
        "timing": {"enabled": True, "processes": 5, "rounds": 5, "block_ms": 20, "target_ci": 0.02, "budget_s": 60,
                   "phases": list(PHASES)},
        "trials": planned, "baseline": planned[0]["key"],
        "git": {"commit": "0123abc", "branch": "main", "dirty": False},
        "started_s": START_S - 1, "command": "lenet-bench run experiments/synthetic.toml",
    }  # fmt: skip
    machine = {"id": "m1", "hostname": "here", "cpu": "a processor", "cores": 2, "memory_bytes": 8 << 30, "gpu": [],
               "torch": "2.13.0", "python": "3.11", "kernel": "6.1", "environment": {}}  # fmt: skip
    run = Run.create(path, experiment, machine)
    (path / "records.jsonl").write_text("".join(lines))
    return run


if __name__ == "__main__":
    print(make_synthetic_run(Path(sys.argv[1]), int(sys.argv[2])).path)
