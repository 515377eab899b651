"""Small made-up runs for the tests of tracking, and `sync`, which sends one without a process of its own.

`python -m fakes.tracked_run RUN URI` sends one too.
"""

import contextlib
import itertools
import json
import re
import sys
from collections import namedtuple
from pathlib import Path
from unittest import mock

from bench.analysis.results import Results
from bench.errors import TrackingError
from bench.experiment.trial import PHASES, Trial
from bench.records.record import Record, SeedResult, Timing
from bench.records.run import Run
from bench.tracking import worker
from bench.tracking.client import sync_request
from bench.tracking.failures import import_mlflow
from bench.tracking.links import Links
from bench.tracking.store import open_store, quiet_environment

START_S = 1_760_000_000.0


def make_record(knobs, place, status="ok", **changes):
    """A record with two seeds, three epochs, and two blocks a phase, all computed from `place`: a test accuracy of
    0.905 + place / 1000, and 1.1, 2.2 and 3.3 ms times place + 1 for forward, backward and step.
    """
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
        phase: [
            [process, 0, 10, seconds * (place + 1) * (order + 1), 0.01]
            for process, seconds in enumerate((0.01, 0.0121))
        ]
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
    run = Run.create(path, experiment, {"id": "m1", "torch": "2.13.0"})
    if records:
        for record in made:
            run.append(record)
    return run


def results_of(run):
    """What the run's records say now."""
    return Results.of(run)


Sent = namedtuple("Sent", ("text", "links", "model"))


def sync(run, uri, *, artifacts=(), dry_run=False, model=False, patience_s=2.0, on_progress=None):
    """Does what a tracking worker does that is asked for a sync, in this process: the same messages, through JSON.

    Raises `TrackingError` for what the worker tells as failed.
    """
    told = []

    def tell(message):
        told.append(message)
        if on_progress and message["kind"] == "progress":
            on_progress(message["done"], message["total"])

    request = sync_request(results_of(run), artifacts=artifacts, dry_run=dry_run, model=model)
    lines = map(json.loads, map(json.dumps, request))
    session = worker.Session(uri, run.path.resolve().parents[1], patience_s)
    with contextlib.closing(session), mock.patch.object(worker, "PROGRESS_EVERY_S", 0.0):
        session.answer(next(lines), lines, tell)
    answer = told[-1]
    if answer["kind"] == "failed":
        raise TrackingError(answer["reason"])
    return Sent(answer["text"], Links(**answer["links"]) if answer["links"] else None, answer["model"])


def client_of(uri):
    """MLflow's own client."""
    with quiet_environment():  # around the import and the opening, which warn
        return import_mlflow().MlflowClient(tracking_uri=uri)


def held_trials(uri):
    """The runs of trials that a store holds, by name."""
    runs = client_of(uri).search_runs(["1"], filter_string="tags.`bench.role` = 'trial'")
    return {run.info.run_name: run for run in runs}


def held_sweeps(uri):
    """The runs of sweeps that a store holds."""
    return list(client_of(uri).search_runs(["1"], filter_string="tags.`bench.role` = 'sweep'"))


OWN = ("mlflow.parentRunId", "bench.writer", "mlflow.user", "mlflow.log-model.history")
ID = re.compile(r"(%22)?[0-9a-f]{32}")


def snapshot(uri):
    """All that a store holds of the suite, without what differs between two honest stores (ids of runs)."""
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
    try:
        print(sync(Run.open(Path(sys.argv[1])), sys.argv[2]).text)
    except TrackingError as error:
        sys.exit(str(error))
