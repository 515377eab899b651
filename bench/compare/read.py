"""Finds the side of a comparison that a person means by what is typed: a run, a file, a folder, a run in MLflow."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.compare.baseline import read_baseline
from bench.compare.side import Side, from_pytest_files, from_run, from_table, read_table
from bench.errors import SideError
from bench.records.run import Run, find_run
from bench.tracking.store import open_store
from bench.tracking.uri import resolve_uri
from bench.verdicts.pytest_benchmark import read_pytest_benchmark

PREFIX = "mlflow:"


def read_side(text: str, results: Path, tracking_uri: str | None = None) -> Side:
    """Finds out what a person means, and reads it.

    A run (folder, `EXPERIMENT`, `EXPERIMENT/RUN`, `latest`); a table (`.csv` or `.parquet`); a baseline (`.txt`); a
    parent run in MLflow (`mlflow:RUN_ID`); a JSON file of pytest-benchmark, or a folder of them, each from a process
    of its own. Raises `SideError`, `RecordError`, `TrackingError`, `FormatError`.
    """
    if text.startswith(PREFIX):
        return read_mlflow(text.removeprefix(PREFIX), results, tracking_uri)
    path = Path(text)
    if path.is_file():
        if path.suffix in (".csv", ".parquet"):
            return from_table(read_table(path), str(path))
        if path.suffix == ".json":
            return from_pytest_files([read_pytest_benchmark(path)], str(path))
        if path.suffix == ".txt":
            return read_baseline(path)
        raise SideError(
            f"{path}: compares runs, tables (.csv, .parquet), baselines (.txt) and pytest-benchmark (.json)"
        )
    if path.is_dir() and not (path / "experiment.json").exists() and (files := sorted(path.glob("*.json"))):
        return from_pytest_files([read_pytest_benchmark(file) for file in files], str(path))
    if path.suffix in (".csv", ".parquet", ".json", ".txt"):
        raise SideError(f"{path}: no such file")
    return from_run(Run.open(find_run(results, text)))


def read_mlflow(run_id: str, results: Path, tracking_uri: str | None) -> Side:
    """The table that a sweep's parent run holds. Raises `SideError`, `TrackingError`."""
    uri = resolve_uri(tracking_uri, results)
    with tempfile.TemporaryDirectory() as folder, open_store(uri, results, create=False) as store:
        files = {file.path for file in store.call(store.client.list_artifacts, run_id)}
        if "table.parquet" not in files:
            raise SideError(
                f"{PREFIX}{run_id}: holds no table.parquet; give a sweep's own run (the parent), which `lenet-bench"
                " links` shows"
            )
        path = store.call(store.client.download_artifacts, run_id, "table.parquet", folder)
        return from_table(read_table(Path(path)), f"MLflow run {run_id}")
