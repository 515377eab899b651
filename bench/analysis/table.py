"""Records in, one pandas DataFrame out: one row a trial, with an interval beside every measured number.

Nothing here is stored as truth: CSV, Parquet and summaries can be made again from the records at any time.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.rejection import rejection_columns
from bench.analysis.repeats import Repeats, mean
from bench.errors import TableError
from bench.experiment.trial import KNOBS, PHASES, Trial
from bench.records.files import whole_file
from bench.records.reading import Reading
from bench.records.record import Record, Timing
from bench.records.run import Run
from bench.statistics.intervals import exp_interval, mean_interval
from lenet.variant import nearest

STEP_FORWARDS = 3  # multiply-accumulates of a step, in forward passes: forward, gradient of inputs, gradient of weights


def tabulate(readings: Iterable[Reading]) -> tuple[pd.DataFrame, list[Repeats]]:
    """A table of one row a trial, in the order of the plans, and the repeats of each row, in one pass over the records.

    Columns: `name`, `key`, `run`, `status`, `cause`, `reason`, every knob, `test_accuracy` (a share, mean over seeds)
    with `_low` and `_high` of its 95 % interval, `validation_accuracy`, `train_accuracy` (means), the shares of the
    test images to refuse for 1 % and 0.5 % of error on the others (`reject_margin_1pct` and like it,
    `bench.analysis.rejection`), `seeds`, `best_epoch` (median), `train_s` and `evaluate_s` (means), for each phase
    `forward_ms` with `_low` and `_high` and `forward_images_per_s`, `images_per_s` (of the step), `prepare_s`,
    `parameters`, `macs` (an image, forward), `connections`, `forward_gflops_per_s` and `step_gflops_per_s` (two
    operations a multiply-accumulate; a step counts three forward passes, a little too many since the first layer needs
    no gradient of its input), `peak_memory_mib`, `timing_stopped`, `processes`, `rounds`, `attempt`, `machine`,
    `torch`.
    """
    rows, repeats = [], []
    for reading in readings:
        for record in reading:
            repeats.append(Repeats.of(record, reading.run.path))
            rows.append(_row(record, reading.run, repeats[-1]))
    nothing = Record(key="", name="", trial=Trial().to_dict(), status="")
    columns = list(_row(nothing, Run(Path(), {}, {}), Repeats.of(nothing, Path())))
    table = pd.DataFrame(rows, columns=columns)
    for column in table.columns:
        if column not in TEXT and column not in KNOBS:
            table[column] = pd.to_numeric(table[column])
    return table, repeats


TEXT = {"name", "key", "run", "status", "cause", "reason", "timing_stopped", "machine", "torch"}


def _row(record: Record, run: Run, repeats: Repeats) -> dict[str, Any]:
    timed, network = _time_columns(repeats), record.network
    gflop = 2e-9 * network.get("macs", math.nan)
    return {
        "name": record.name,
        "key": record.key,
        "run": run.path.name,
        "status": record.status,
        "cause": record.cause,
        "reason": record.reason,
        **{knob: repeats.knobs.get(knob) for knob in KNOBS},
        **_seed_columns(record, repeats),
        "images_per_s": timed["step_images_per_s"],
        **timed,
        "prepare_s": mean(record.timing.prepare_s) if record.timing else math.nan,
        "parameters": network.get("parameters", math.nan),
        "macs": network.get("macs", math.nan),
        "connections": network.get("connections", math.nan),
        "forward_gflops_per_s": timed["forward_images_per_s"] * gflop,
        "step_gflops_per_s": timed["step_images_per_s"] * gflop * STEP_FORWARDS,
        **_stage_columns(record.timing or Timing()),
        "attempt": record.attempt,
        "machine": run.machine.get("id", ""),
        "torch": run.machine.get("torch", ""),
    }


def _seed_columns(record: Record, repeats: Repeats) -> dict[str, float]:
    """What the seeds that ended well say: accuracies, rejection, epochs and seconds."""
    done = [seed for seed in record.seeds if seed.seed in repeats.seeds]
    accuracy = mean_interval(list(repeats.seeds.values()))
    best = [seed.history[seed.best_epoch - 1]["validation_accuracy"] for seed in done if seed.history]
    return {
        "test_accuracy": accuracy.value,
        "test_accuracy_low": max(accuracy.low, 0.0),  # in this order NaN stays NaN
        "test_accuracy_high": min(accuracy.high, 1.0),
        "validation_accuracy": mean(value for value in best if value is not None),
        "train_accuracy": mean(seed.train_accuracy for seed in done if seed.train_accuracy is not None),
        **rejection_columns(record),
        "seeds": len(done),
        "best_epoch": float(statistics.median(seed.best_epoch for seed in done)) if done else math.nan,
        "train_s": mean(seed.train_s for seed in done),
        "evaluate_s": mean(seed.evaluate_s for seed in done),
    }


def _time_columns(repeats: Repeats) -> dict[str, float]:
    """The time of each phase with its interval over processes, and images per second."""
    columns: dict[str, float] = {}
    for phase in PHASES:
        estimate = exp_interval(list(repeats.times.get(phase, {}).values()))
        columns |= {
            f"{phase}_ms": estimate.value * 1e3,
            f"{phase}_ms_low": estimate.low * 1e3,
            f"{phase}_ms_high": estimate.high * 1e3,
            f"{phase}_images_per_s": repeats.knobs["batch_size"] / estimate.value if estimate.n else math.nan,
        }
    return columns


def _stage_columns(timing: Timing) -> dict[str, Any]:
    """Memory, and how much was timed."""
    return {
        "peak_memory_mib": timing.peak_memory_bytes / 2**20 if timing.peak_memory_bytes else math.nan,
        "timing_stopped": timing.stopped,
        "processes": len({block[0] for blocks in timing.samples.values() for block in blocks}),
        "rounds": max((len(blocks) for blocks in timing.samples.values()), default=0),
    }


def build_samples(records: Iterable[Record]) -> pd.DataFrame:
    """Every raw block of some records, tidy: `key`, `phase`, `process`, `round`, `iterations`, `seconds` (of the
    block), `cpu_seconds`.
    """
    keys, phases, counts, blocks = [], [], [], []
    for record in records:
        for phase, timed in record.timing.samples.items() if record.timing else ():
            keys.append(record.key)
            phases.append(phase)
            counts.append(len(timed))
            blocks += timed
    values = np.array(blocks, dtype=float).reshape(-1, 5)
    names = ["process", "round", "iterations", "seconds", "cpu_seconds"]
    samples = pd.DataFrame({"key": np.repeat(keys, counts), "phase": np.repeat(phases, counts)}, dtype="str")
    return samples.assign(**dict(zip(names, values.T, strict=True))).astype(dict.fromkeys(names[:3], "int64"))


def write_table(reading: Reading, table: pd.DataFrame) -> list[Path]:
    """Writes `table.csv` and `table.parquet`, and the raw samples of all records as `samples.parquet`, into the run's
    folder, each whole or not at all. Raises `RecordError`.
    """
    samples = build_samples(reading)
    paths = [reading.run.path / name for name in ("table.csv", "table.parquet", "samples.parquet")]
    for path, frame in zip(paths, (table, table, samples), strict=True):
        with whole_file(path) as file:
            if path.suffix == ".csv":
                frame.to_csv(file, index=False)
            else:
                frame.to_parquet(file, index=False)
    return paths


def select(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """The rows for which a pandas expression holds. Raises `TableError` for one that cannot be understood."""
    asked = f"--where {' '.join(where.split())}"
    try:
        holds = table.eval(where, engine="python")
    except pd.errors.UndefinedVariableError as error:
        name = (re.findall(r"'([^']*)'", str(error)) or [""])[0]
        raise TableError(f"{asked}: no column '{name}'; {nearest(name, table.columns)}") from error
    except Exception as error:  # the expression is a person's: whatever Python finds wrong with it
        reason = " ".join(str(error).split())
        raise TableError(f"{asked}: not an expression that pandas understands ({reason})") from error
    if not isinstance(holds, pd.Series) or holds.dtype != bool:
        raise TableError(f"{asked}: not a condition; write one, such as \"activation == 'relu'\"")
    return table[holds]
