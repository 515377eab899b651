"""Results of pytest-benchmark as runs in MLflow, beside those of sweeps: one parent a file, one child a benchmark.

Equal files give equal entries, so that importing twice adds nothing.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from typing import Any

from bench.text.numbers import rounded
from bench.tracking.entries import LAYOUT, Entry, run_name, text
from bench.tracking.parent import finish
from bench.tracking.plan import SyncResult
from bench.tracking.store import Store
from bench.tracking.sync import agree
from bench.verdicts.pytest_benchmark import PytestBenchmark, PytestFile

TIMES = ("median", "mean", "stddev", "min", "max", "iqr", "q1", "q3")
COUNTS = ("rounds", "iterations", "outliers", "ops")


def import_file(store: Store, file: PytestFile) -> SyncResult:
    """Makes a store hold a file's benchmarks. Raises `TrackingError`."""
    sweep, entries = file_entries(file)
    result = agree(store, sweep, entries)
    finish(store, result.parent_run_id, sweep, [file.path], {"columns": [], "data": []})
    return result


def file_entries(file: PytestFile) -> tuple[Entry, list[Entry]]:
    """The parent's entry, and one a benchmark."""
    commit, machine = file.commit_info, file.machine_info
    identity = json.dumps([file.datetime, machine.get("node"), commit.get("id")], sort_keys=True)
    uid = "pytest-" + hashlib.sha256(identity.encode()).hexdigest()[:16]
    shared = {
        "bench.sweep_uid": uid,
        "bench.experiment": "pytest-benchmark",
        "bench.schema": str(LAYOUT),
        "bench.host": text(machine.get("node") or ""),
        "bench.machine": text((machine.get("cpu") or {}).get("brand_raw") or machine.get("processor") or ""),
        "bench.git_dirty": str(bool(commit.get("dirty"))).lower(),
        "mlflow.source.git.commit": text(commit.get("id") or ""),
        "mlflow.source.git.branch": text(commit.get("branch") or ""),
        "mlflow.source.name": file.path.name,
        "mlflow.source.type": "LOCAL",
    }
    shared = {name: value for name, value in shared.items() if value}
    at_ms = _milliseconds(file.datetime)
    entries = [_entry(uid, benchmark, shared, at_ms) for benchmark in file.benchmarks]
    sweep = Entry(
        uid, f"pytest-benchmark {file.datetime[:19]}", "FINISHED", at_ms, at_ms,
        metrics=[("sweep/trials", float(len(entries)), 0)],
        tags={**shared, "bench.role": "sweep", "mlflow.note.content": f"pytest-benchmark, {len(entries)} benchmarks"},
    )  # fmt: skip
    return sweep, entries


def _entry(uid: str, benchmark: PytestBenchmark, shared: dict[str, str], at_ms: int) -> Entry:
    key = hashlib.sha256(benchmark.fullname.encode()).hexdigest()[:16]
    numbers = {f"time/{name}_ms": _scaled(benchmark.stats.get(name), 1e3) for name in TIMES}
    numbers |= {f"quality/{name}": _scaled(benchmark.stats.get(name), 1) for name in COUNTS}
    parameters = {**benchmark.params, **{f"info {name}": value for name, value in benchmark.extra_info.items()}}
    return Entry(
        f"{uid}:{key}", run_name(benchmark.name), "FINISHED", at_ms, at_ms,
        params={"benchmark": text(benchmark.fullname), "group": text(benchmark.group or "")}
        | {_name(name): text(value) for name, value in parameters.items()},
        metrics=[(name, value, 0) for name, value in numbers.items() if value is not None],
        tags={**shared, "bench.role": "trial", "bench.status": "ok"},
    )  # fmt: skip


def _scaled(value: object, factor: float) -> float | None:
    return rounded(value * factor if isinstance(value, (int, float)) else value)


def _name(name: Any) -> str:
    """A parameter's name with the signs that MLflow takes."""
    return "".join(sign if sign.isalnum() or sign in "_-. /" else "_" for sign in str(name))[:200]


def _milliseconds(moment: str) -> int:
    """ISO 8601 to milliseconds since the epoch; 0 for what is no date."""
    try:
        parsed = datetime.datetime.fromisoformat(moment)
    except ValueError:
        return 0
    return round(parsed.replace(tzinfo=parsed.tzinfo or datetime.UTC).timestamp() * 1000)
