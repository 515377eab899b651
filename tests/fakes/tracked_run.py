"""Small made-up runs for the tests of tracking, and a command that syncs one: `python tracked_run.py RUN URI`."""

import itertools
import re
import statistics
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.experiment.trial import PHASES, Trial
from bench.records.record import Record, SeedResult, Timing
from bench.records.run import Run

START_S = 1_760_000_000.0


def make_record(knobs, place, status="ok", **changes):
    """A record with two seeds, three epochs, and two blocks a phase, all computed from `place`."""
    trial = Trial.from_knobs(knobs)
    seeds = [
        SeedResult(
            seed=seed,
            history=[
                {"epoch": epoch, "updates": 19 * epoch, "learning_rate": 0.05, "train_loss": 1 / epoch + seed,
                 "validation_loss": None, "validation_accuracy": 0.5 + epoch / 10}
                for epoch in (1, 2, 3)
            ],
            best_epoch=3, test_accuracy=0.9 + place / 1000 + seed / 100, test_loss=0.3, train_s=1.5,
            data_digest="0123456789abcdef",
        )
        for seed in (0, 1)
    ]  # fmt: skip
    samples = {
        phase: [[0, 0, 10, 0.01 * (place + 1) * (order + 1), 0.01], [1, 0, 10, 0.011 * (place + 1) * (order + 1), 0.01]]
        for order, phase in enumerate(PHASES)
    }
    ok = status == "ok"
    return Record(
        key=trial.key, name="-".join(map(str, knobs.values())) or "base", trial=trial.to_dict(), status=status,
        cause="" if ok else "no_device" if status == "skipped" else "crashed",
        reason="" if ok else "no CUDA here" if status == "skipped" else "worker ended with code 1",
        seeds=seeds if ok else [],
        timing=Timing(samples=samples, peak_memory_bytes=2**20 * (place + 1)) if ok else None,
        network={"parameters": 61_706, "macs": 416_520, "layers": []},
        started_s=START_S + place, ended_s=START_S + place + 0.5,
        **changes,
    )  # fmt: skip


def make_run(path, axes=None, records=True, uid="abc123"):
    """A run's folder with one trial a combination of `axes`."""
    axes = axes or {"activation": ["relu", "tanh"], "batch_size": [8, 64]}
    combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    made = [make_record(knobs, place) for place, knobs in enumerate(combinations)]
    experiment = {
        "name": "quick", "uid": uid, "question": "Which is best?", "axes": axes, "seeds": [0, 1], "timing": {},
        "trials": [{"key": record.key, "name": record.name, "trial": record.trial} for record in made],
        "baseline": made[0].key, "git": {"commit": "0123abc", "branch": "main", "dirty": True},
        "started_s": START_S - 1, "command": "lenet-bench run experiments/quick.toml",
    }  # fmt: skip
    run = Run.create(path, experiment, {"id": "m1"})
    if records:
        for record in made:
            run.append(record)
    return run


def make_table(run):
    """One row a record, with the columns that tracking reads."""
    rows = []
    for record in run.records():
        row = {
            "key": record.key,
            "name": record.name,
            "status": record.status,
            "machine": "m1",
            "torch": "2.13.0",
            "run": run.path.name,
        }
        row |= record.knobs()
        row |= {"parameters": record.network["parameters"], "macs": record.network["macs"]}
        if record.status == "ok":
            accuracy = statistics.fmean(seed.test_accuracy for seed in record.seeds)
            row |= {
                "test_accuracy": accuracy,
                "test_accuracy_low": accuracy - 0.012,
                "test_accuracy_high": accuracy + 0.012,
            }
            row |= {"train_s": 3.0, "best_epoch": 3, "peak_memory_mib": record.timing.peak_memory_bytes / 2**20}
            for phase, blocks in record.timing.samples.items():
                time_ms = statistics.median(block[3] / block[2] * 1000 for block in blocks)
                row |= {f"{phase}_ms": time_ms, f"{phase}_ms_low": time_ms * 0.9, f"{phase}_ms_high": time_ms * 1.1}
                row[f"{phase}_images_per_s"] = 1000 * row["batch_size"] / time_ms
        rows.append(row)
    return pd.DataFrame(rows)


OWN = ("mlflow.parentRunId", "bench.writer", "mlflow.user", "mlflow.log-model.history")
ID = re.compile(r"(%22)?[0-9a-f]{32}")


def snapshot(uri):
    """All that a store holds of the suite, without what differs between two honest stores (ids of runs)."""
    from bench.tracking.store import open_store

    content = []
    with open_store(uri, Path("/nowhere/a/b"), create=False, patience_s=10) as store:
        runs = list(store.client.search_runs([store.experiment_id], max_results=5000))
        names = {run.info.run_id: run.info.run_name for run in runs}
        for run in runs:
            tags = {name: ID.sub("ID", value) for name, value in run.data.tags.items() if name not in OWN}
            if tags["bench.role"] == "sweep":
                del tags["bench.record_hash"]  # of its description too, in which ids of runs stand
            tags["parent"] = names.get(run.data.tags.get("mlflow.parentRunId", ""), "")
            history = {
                name: sorted((point.step, point.value, point.timestamp) for point in
                             store.client.get_metric_history(run.info.run_id, name))
                for name in run.data.metrics
            }  # fmt: skip
            files = sorted(file.path for file in store.client.list_artifacts(run.info.run_id))
            times = (run.info.start_time, run.info.end_time)
            content.append((run.info.run_name, run.info.status, times, run.data.params, history, tags, files))
    return sorted(content, key=lambda one: one[0])


if __name__ == "__main__":
    from bench.tracking.sync import sync

    opened = Run.open(Path(sys.argv[1]))
    patience_s = float(sys.argv[3]) if len(sys.argv) > 3 else 2.0
    print(sync(opened, sys.argv[2], table=make_table(opened), patience_s=patience_s))
