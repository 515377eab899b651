"""Records in, one pandas DataFrame out: one row a trial, with an interval beside every measured number.

Nothing here is stored as truth: CSV, Parquet and summaries can be made again from the records at any time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.record import Record, Run
from bench.statistics import UNKNOWN, Estimate, mean_interval, median_interval
from bench.trial import KNOBS, PHASES
from lenet.variant import nearest

STEP_FORWARDS = 3  # multiply-accumulates of a step, in forward passes: forward, gradient of inputs, gradient of weights


class TableError(Exception):
    """A question to the table that it cannot answer. One line."""


def build_table(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a trial, in the order of the plans.

    Columns: `name`, `key`, `run`, `status`, `cause`, `reason`, every knob, `test_accuracy` (a share, mean over seeds) with
    `_low` and `_high` of its 95 % interval, `validation_accuracy`, `seeds`, `best_epoch` (median), `train_s` and
    `evaluate_s` (means), for each phase `forward_ms` with `_low` and `_high` and `forward_images_per_s`, `images_per_s` (of
    the step), `prepare_s`, `parameters`, `macs` (an image, forward), `forward_gflops_per_s` and `step_gflops_per_s` (two
    operations a multiply-accumulate; a step counts three forward passes, a little too many since the first layer needs no
    gradient of its input), `peak_memory_mib`, `timing_stopped`, `processes`, `rounds`, `attempt`, `machine`, `torch`.
    """
    rows = [_row(record, run) for run in runs for record in run.records()]
    table = pd.DataFrame(rows, columns=None if rows else ["name", "key", "status"])
    for column in table.columns:
        if column not in TEXT and column not in KNOBS:
            table[column] = pd.to_numeric(table[column])
    return table


TEXT = {"name", "key", "run", "status", "cause", "reason", "timing_stopped", "machine", "torch"}


def _row(record: Record, run: Run) -> dict[str, Any]:
    knobs = {knob: value for section in record.trial.values() for knob, value in section.items()}
    done = [seed for seed in record.seeds if seed.status == "ok" and seed.test_accuracy is not None]
    accuracy = mean_interval([seed.test_accuracy for seed in done if seed.test_accuracy is not None])
    best = [seed.history[seed.best_epoch - 1]["validation_accuracy"] for seed in done if seed.best_epoch]
    timing = record.timing
    network = record.network
    row: dict[str, Any] = {
        "name": record.name,
        "key": record.key,
        "run": run.path.name,
        "status": record.status,
        "cause": record.cause,
        "reason": record.reason,
        **{knob: knobs.get(knob) for knob in KNOBS},
        "test_accuracy": accuracy.value,
        "test_accuracy_low": max(0.0, accuracy.low),
        "test_accuracy_high": min(1.0, accuracy.high),
        "validation_accuracy": _mean(best),
        "seeds": len(done),
        "best_epoch": float(np.median([seed.best_epoch for seed in done])) if done else math.nan,
        "train_s": _mean([seed.train_s for seed in done]),
        "evaluate_s": _mean([seed.evaluate_s for seed in done]),
        "images_per_s": math.nan,
    }
    for phase in PHASES:
        estimate = phase_interval(timing.samples.get(phase, []) if timing else [])
        images_per_s = knobs["batch_size"] / estimate.value if estimate.n else math.nan
        row |= {
            f"{phase}_ms": estimate.value * 1e3,
            f"{phase}_ms_low": estimate.low * 1e3,
            f"{phase}_ms_high": estimate.high * 1e3,
            f"{phase}_images_per_s": images_per_s,
        }
    gflop = 2e-9 * network.get("macs", math.nan)
    processes = {block[0] for blocks in timing.samples.values() for block in blocks} if timing else set()
    return row | {
        "images_per_s": row["step_images_per_s"],
        "prepare_s": _mean(timing.prepare_s) if timing else math.nan,
        "parameters": network.get("parameters", math.nan),
        "macs": network.get("macs", math.nan),
        "forward_gflops_per_s": row["forward_images_per_s"] * gflop,
        "step_gflops_per_s": row["step_images_per_s"] * gflop * STEP_FORWARDS,
        "peak_memory_mib": timing.peak_memory_bytes / 2**20 if timing and timing.peak_memory_bytes else math.nan,
        "timing_stopped": timing.stopped if timing else "",
        "processes": len(processes),
        "rounds": max((len(blocks) for blocks in timing.samples.values()), default=0) if timing else 0,
        "attempt": record.attempt,
        "machine": run.machine.get("id", ""),
        "torch": run.machine.get("torch", ""),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def phase_interval(blocks: Sequence[Sequence[float]]) -> Estimate:
    """Seconds of one iteration, with the interval over processes, from a record's blocks of one phase."""
    if not blocks:
        return UNKNOWN
    processes: dict[float, list[float]] = {}
    for process, _, iterations, seconds, _ in blocks:
        processes.setdefault(process, []).append(seconds / iterations)
    return median_interval(list(processes.values()))


def build_samples(run: Run) -> pd.DataFrame:
    """Every raw block, tidy: `key`, `phase`, `process`, `round`, `iterations`, `seconds` (of the block), `cpu_seconds`."""
    rows = [
        (record.key, phase, *block)
        for record in run.records()
        if record.timing
        for phase, blocks in record.timing.samples.items()
        for block in blocks
    ]
    columns = ["key", "phase", "process", "round", "iterations", "seconds", "cpu_seconds"]
    return pd.DataFrame(rows, columns=columns).astype({"process": "int64", "round": "int64", "iterations": "int64"})


def write_table(run: Run) -> list[Path]:
    """Writes `table.csv`, `table.parquet` and `samples.parquet` into the run's folder, each whole or not at all."""
    table, samples = build_table([run]), build_samples(run)
    paths = [run.path / name for name in ("table.csv", "table.parquet", "samples.parquet")]
    for path, frame in zip(paths, (table, table, samples), strict=True):
        temporary = path.with_name(path.name + ".part")
        if path.suffix == ".csv":
            frame.to_csv(temporary, index=False)
        else:
            frame.to_parquet(temporary, index=False)
        temporary.replace(path)
    return paths


def select(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """The rows for which a pandas expression holds. Raises `TableError` for one that cannot be understood."""
    try:
        chosen = table.query(where, engine="python")
    except pd.errors.UndefinedVariableError as error:
        name = (re.findall(r"'([^']*)'", str(error)) or [""])[0]
        raise TableError(f"--where {where}: no column '{name}'; {nearest(name, table.columns)}") from error
    except Exception as error:  # the expression is a person's: whatever Python finds wrong with it
        reason = " ".join(str(error).split())
        raise TableError(f"--where {where}: not an expression that pandas understands ({reason})") from error
    if not isinstance(chosen, pd.DataFrame):
        raise TableError(f"--where {where}: not a condition; write one, such as \"activation == 'relu'\"")
    return chosen


def escape_cell(value: object) -> str:
    """A value as one cell of a Markdown table: nothing in it can end the cell, the row, or be taken for HTML."""
    text = "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)
    text = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def to_markdown(table: pd.DataFrame) -> str:
    """A Markdown table, numbers to six significant digits."""
    lines = ["| " + " | ".join(escape_cell(column) for column in table.columns) + " |"]
    lines.append("|" + "---|" * len(table.columns))
    for row in table.itertuples(index=False):
        cells = [f"{value:.6g}" if isinstance(value, float) and not math.isnan(value) else value for value in row]
        lines.append("| " + " | ".join(escape_cell(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def pareto_front(table: pd.DataFrame) -> pd.Series[bool]:
    """Which trials no other beats in both accuracy and step time."""
    accuracy, step = table["test_accuracy"].to_numpy(float), table["step_ms"].to_numpy(float)
    front = [
        not (math.isnan(a) or math.isnan(s))
        and not bool(np.any((accuracy >= a) & (step <= s) & ((accuracy > a) | (step < s))))
        for a, s in zip(accuracy, step, strict=True)
    ]
    return pd.Series(front, index=table.index)


def rank(table: pd.DataFrame, runs: Sequence[Run]) -> pd.DataFrame:
    """The trials that succeeded, best first, with `rank`, `within_noise` and `pareto`.

    Ordered by accuracy, then by step time. `within_noise` marks the trials whose mean accuracy cannot be told from the
    best one's: the 95 % interval of the difference over seeds (paired, since all trials share their seeds) includes 0, or
    is not known. Trials without accuracy (synthetic data) are ordered by step time, and none is marked.
    """
    seeds = {record.key: record.seeds for run in runs for record in run.records()}
    ranked = table[table["status"] == "ok"].sort_values(
        ["test_accuracy", "step_ms"], ascending=[False, True], na_position="last", kind="stable"
    )
    ranked = ranked.assign(rank=range(1, len(ranked) + 1), pareto=pareto_front(ranked))
    if ranked.empty:
        return ranked.assign(within_noise=pd.Series(dtype=bool))
    best = [seed.test_accuracy for seed in seeds[ranked["key"].iloc[0]]]
    marks = []
    for key in ranked["key"]:
        own = [seed.test_accuracy for seed in seeds[key]]
        pairs = [a - b for a, b in zip(best, own, strict=False) if a is not None and b is not None]
        difference = mean_interval(pairs)
        marks.append(difference.n > 0 and not difference.low > 0)
    return ranked.assign(within_noise=marks)


def main_effects(table: pd.DataFrame, axes: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """For each axis and level: what it does to accuracy and step time, averaged over the other axes.

    Columns: `axis`, `level`, `trials`, `test_accuracy` with `_low` and `_high` (mean over the level's trials and its t
    interval), `step_ratio` with `_low` and `_high` (geometric mean of the ratio to the axis's first level, paired over trials
    that differ in this axis alone; 1 for the first level), `accuracy_share` and `step_share` (eta squared: the axis's share
    of the variance between trials; of the accuracy, and of the log step time). NaN where there is nothing to compare.
    """
    done = table[table["status"] == "ok"]
    rows = []
    for axis, levels in axes.items():
        others = [other for other in axes if other != axis]
        shares = _share(done, axis, done["test_accuracy"]), _share(done, axis, np.log(done["step_ms"]))
        for level in levels:
            chosen = done[done[axis] == level]
            accuracy = mean_interval(chosen["test_accuracy"].dropna())
            ratio = _paired_ratio(done, axis, levels[0], level, others)
            rows.append(
                {
                    "axis": axis,
                    "level": str(level),
                    "trials": len(chosen),
                    "test_accuracy": accuracy.value,
                    "test_accuracy_low": accuracy.low,
                    "test_accuracy_high": accuracy.high,
                    "step_ratio": ratio.value,
                    "step_ratio_low": ratio.low,
                    "step_ratio_high": ratio.high,
                    "accuracy_share": shares[0],
                    "step_share": shares[1],
                }
            )
    return pd.DataFrame(rows)


def _paired_ratio(table: pd.DataFrame, axis: str, first: Any, level: Any, others: list[str]) -> Estimate:
    step = table.dropna(subset=["step_ms"]).drop_duplicates([axis, *others]).set_index([axis, *others])["step_ms"]
    by_others: dict[Any, dict[Any, float]] = {}
    for index, value in step.items():
        key = index if isinstance(index, tuple) else (index,)
        by_others.setdefault(key[1:], {})[key[0]] = float(value)
    logs = [math.log(own[level] / own[first]) for own in by_others.values() if level in own and first in own]
    if not logs:
        return UNKNOWN
    if level == first:
        return Estimate(1.0, 1.0, 1.0, len(logs))
    estimate = mean_interval(logs)
    return Estimate(math.exp(estimate.value), math.exp(estimate.low), math.exp(estimate.high), estimate.n)


def _share(table: pd.DataFrame, axis: str, values: pd.Series[float]) -> float:
    """Eta squared: the variance between the axis's levels as a share of all variance between trials."""
    known = values.dropna()
    total = float(((known - known.mean()) ** 2).sum())
    if len(known) < 2 or total == 0:
        return math.nan
    groups = known.groupby(table.loc[known.index, axis].astype(str))
    between = float((groups.size() * (groups.mean() - known.mean()) ** 2).sum())
    return between / total


def machine_warning(table: pd.DataFrame) -> str | None:
    """One line if times of different machines, torch versions or thread counts stand in one table."""
    timed = table.dropna(subset=["step_ms"]) if "step_ms" in table else table.iloc[:0]
    mixed = {column: sorted(map(str, timed[column].unique())) for column in ("machine", "torch")}
    mixed = {column: values for column, values in mixed.items() if len(values) > 1}
    if not mixed:
        return None
    listed = "; ".join(f"{column} {', '.join(values)}" for column, values in mixed.items())
    return f"times from different places stand side by side and cannot be ranked against each other: {listed}"
