"""Runs with chosen times and accuracies, written as a sweep writes them, for the tests of what reads stored results."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from bench.experiment.trial import PHASES, Trial
from bench.records.record import Record, SeedResult, Timing
from bench.records.run import Run

MACHINE = {"id": "m1", "cpu": "Testing 3000", "cores": 2, "torch": "2.13.0", "hostname": "here", "python": "3.11.7"}


def make_record(knobs, seconds, processes, random, *, spread=0.01, accuracy=0.95, status="ok", rounds=3, seeds=3):
    """One trial: `seconds` of a step; forward takes a third of it, backward half."""
    trial = Trial.from_knobs(knobs)
    name = "-".join(str(value) for knob, value in knobs.items() if knob != "threads")
    if status != "ok":
        return Record(trial.key, name, trial.to_dict(), status, cause="crashed", reason="signal 11 in step 3")
    samples = {}
    for phase, share in zip(PHASES, (1 / 3, 1 / 2, 1), strict=True):
        samples[phase] = []
        for process in range(processes):
            time = seconds * share * np.exp(spread * random.standard_normal())
            for number in range(rounds):
                block = 10 * time * np.exp(0.005 * random.standard_normal())
                samples[phase].append([process, number, 10, float(block), float(block)])
    results = [
        SeedResult(
            seed,
            test_accuracy=accuracy + seed / 1000,
            best_epoch=1,
            history=[{"epoch": 1, "validation_accuracy": accuracy}],
        )
        for seed in range(seeds)
    ]
    network = {"parameters": 61_706, "macs": 416_520, "layers": []}
    return Record(trial.key, name, trial.to_dict(), "ok", seeds=results, timing=Timing(samples), network=network)


def make_run(path, seconds, *, processes=5, seed=0, machine=None, base=None, failed=(), accuracy=0.95, spread=0.01):
    """A run in the folder `path`.

    **Arguments:**

    - `seconds`: of a step, by activation. `base`: other knobs of all trials. `failed`: activations that crashed.
    """
    random = np.random.default_rng(seed)
    records = [
        make_record(
            {"activation": activation, **(base or {})}, value, processes, random, accuracy=accuracy, spread=spread,
            status="failed" if activation in failed else "ok",
        )
        for activation, value in seconds.items()
    ]  # fmt: skip
    experiment = {
        "name": path.parent.name, "uid": f"u{seed}", "question": "", "axes": {"activation": list(seconds)},
        "seeds": [0, 1, 2], "timing": {}, "baseline": records[0].key, "git": {"commit": "0123abc4567def89"},
        "trials": [{"key": record.key, "name": record.name, "trial": record.trial} for record in records],
        "started_s": 1_760_000_000.0, "command": "lenet-bench run",
    }  # fmt: skip
    run = Run.create(path, experiment, {**MACHINE, **(machine or {})})
    for record in records:
        run.append(record)
    return run


SECONDS = {"relu": 1e-3, "tanh": 1.2e-3, "gelu": 2e-3}
SLOWER = {**SECONDS, "gelu": 2.3e-3}


def make_next_run(results, name, seconds=SECONDS, **changes):
    """A run of the experiment `gate` below a results folder, with another seed than the runs that are there."""
    return make_run(results / "gate" / name, seconds, **{"seed": len(list(results.glob("*/*"))), **changes})


def verdicts(comparison):
    return {one.name: one.verdict for one in comparison.verdicts}


def run_command(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, "-m", "bench", *map(str, arguments)], capture_output=True, text=True, cwd=cwd, timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done
