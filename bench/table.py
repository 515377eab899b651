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
from bench.rejection import rejection_columns
from bench.statistics import UNKNOWN, Estimate, mean_interval, median_interval
from bench.trial import KNOBS, PHASES
from lenet.variant import nearest

STEP_FORWARDS = 3  # multiply-accumulates of a step, in forward passes: forward, gradient of inputs, gradient of weights
CHANCES = 2.0  # a trial right less than this many times as often as a guess did not learn


class TableError(Exception):
    """A question to the table that it cannot answer. One line."""


def build_table(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a trial, in the order of the plans.

    Columns: `name`, `key`, `run`, `status`, `cause`, `reason`, every knob, `test_accuracy` (a share, mean over seeds)
    with `_low` and `_high` of its 95 % interval, `validation_accuracy`, `train_accuracy` (means), the shares of the
    test images to refuse for 1 % and 0.5 % of error on the others (`reject_margin_1pct` and like it,
    `bench.rejection`), `seeds`, `best_epoch` (median), `train_s` and `evaluate_s` (means), for each phase `forward_ms`
    with `_low` and `_high` and `forward_images_per_s`, `images_per_s` (of the step), `prepare_s`, `parameters`, `macs`
    (an image, forward), `connections`, `forward_gflops_per_s` and `step_gflops_per_s` (two operations a
    multiply-accumulate; a step counts three forward passes, a little too many since the first layer needs no gradient
    of its input), `peak_memory_mib`, `timing_stopped`, `processes`, `rounds`, `attempt`, `machine`, `torch`.
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
    best = [seed.history[seed.best_epoch - 1]["validation_accuracy"] for seed in done if seed.history]
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
        "validation_accuracy": _mean([value for value in best if value is not None]),
        "train_accuracy": _mean([seed.train_accuracy for seed in done if seed.train_accuracy is not None]),
        **rejection_columns(record),
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
        "connections": network.get("connections", math.nan),
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
    """Every raw block, tidy: `key`, `phase`, `process`, `round`, `iterations`, `seconds` (of the block),
    `cpu_seconds`.
    """
    rows = [
        (record.key, phase, *block)
        for record in run.records()
        if record.timing
        for phase, blocks in record.timing.samples.items()
        for block in blocks
    ]
    columns = ["key", "phase", "process", "round", "iterations", "seconds", "cpu_seconds"]
    return pd.DataFrame(rows, columns=columns).astype({"process": "int64", "round": "int64", "iterations": "int64"})


def write_table(run: Run, table: pd.DataFrame) -> list[Path]:
    """Writes `table.csv`, `table.parquet` and `samples.parquet` into the run's folder, each whole or not at all."""
    samples = build_samples(run)
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
    """The trials that succeeded, best first, with `rank`, `learned`, `pareto` and `within_noise`.

    `learned`: more than twice as often right as a guess among the classes; `pareto` is the front of those alone.

    Ordered by accuracy, then by step time. `within_noise` marks the trials whose mean accuracy cannot be told from the
    best one's: the 95 % interval of the difference over seeds (paired, since all trials share their seeds) includes 0,
    or is not known. Trials without accuracy (synthetic data) are ordered by step time, and none is marked.
    """
    seeds = {record.key: record.seeds for run in runs for record in run.records()}
    ranked = table[table["status"] == "ok"].sort_values(
        ["test_accuracy", "step_ms"], ascending=[False, True], na_position="last", kind="stable"
    )
    learned = ranked["test_accuracy"] > CHANCES / ranked["classes"].astype(float)
    front = pareto_front(ranked[learned]).reindex(ranked.index, fill_value=False)
    ranked = ranked.assign(rank=range(1, len(ranked) + 1), learned=learned, pareto=front)
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


def main_effects(runs: Sequence[Run], table: pd.DataFrame) -> pd.DataFrame:
    """For each axis and level: what it does to accuracy and step time, averaged over the other axes.

    A level is compared with the axis's first only within blocks: trials of one run that differ in this axis alone. The
    blocks are what was asked for, so they are averaged over; what was drawn at random are seeds and processes, so the
    intervals are Student's over those.

    Columns: `axis`, `level`, `trials` (of it, in blocks), `test_accuracy` (their mean), `accuracy_difference` (a
    share, to the first level) with `_low` and `_high`, `step_ratio` (geometric mean of the ratio to the first level)
    with `_low` and `_high`, `accuracy_share` and `step_share` (eta squared: the axis's share of the variance between
    the trials in its blocks; of the accuracy, and of the log step time). NaN where there is nothing to compare.
    """
    wanted = set(table["key"])
    trials = [_Measured(record) for run in runs for record in run.records() if record.key in wanted]
    axes = {axis: values for run in runs for axis, values in run.experiment["axes"].items()}
    rows = []
    for axis, levels in axes.items():
        others = [other for other in axes if other != axis]
        blocks: dict[tuple[Any, ...], dict[Any, _Measured]] = {}
        for trial in trials:
            if trial.ok:
                blocks.setdefault(tuple(trial.knobs[other] for other in others), {})[trial.knobs[axis]] = trial
        compared = [block for block in blocks.values() if len(block) > 1]
        accuracy_share = _share([{level: t.accuracy for level, t in block.items()} for block in compared])
        step_share = _share([{level: t.log_step for level, t in block.items()} for block in compared])
        for level in levels:
            own = [block[level] for block in compared if level in block]
            pairs = [(block[levels[0]], block[level]) for block in compared if level in block and levels[0] in block]
            difference = _mean_over_draws([(first.seeds, other.seeds) for first, other in pairs])
            ratio = _mean_over_draws([(first.processes, other.processes) for first, other in pairs])
            rows.append(
                {
                    "axis": axis,
                    "level": str(level),
                    "trials": len(own),
                    "test_accuracy": _mean([t.accuracy for t in own]),
                    "accuracy_difference": difference.value,
                    "accuracy_difference_low": difference.low,
                    "accuracy_difference_high": difference.high,
                    "step_ratio": math.exp(ratio.value),
                    "step_ratio_low": math.exp(ratio.low),
                    "step_ratio_high": math.exp(ratio.high),
                    "accuracy_share": accuracy_share,
                    "step_share": step_share,
                }
            )
    return pd.DataFrame(rows)


class _Measured:
    """One trial as the main effects need it: accuracy a seed, log seconds of a step a process."""

    def __init__(self, record: Record) -> None:
        self.ok = record.status == "ok"
        self.knobs = {knob: value for section in record.trial.values() for knob, value in section.items()}
        self.seeds = {s.seed: s.test_accuracy for s in record.seeds if s.test_accuracy is not None}
        blocks = record.timing.samples.get("step", []) if record.timing else []
        processes: dict[float, list[float]] = {}
        for process, _, iterations, seconds, _ in blocks:
            processes.setdefault(process, []).append(seconds / iterations)
        self.processes = {process: math.log(np.median(rounds)) for process, rounds in processes.items()}
        self.accuracy = _mean(list(self.seeds.values()))
        self.log_step = _mean(list(self.processes.values()))


def _mean_over_draws(pairs: Sequence[tuple[Mapping[Any, float], Mapping[Any, float]]]) -> Estimate:
    """The mean of second minus first, averaged over pairs within each draw (seed or process), its interval over
    draws.
    """
    by_draw: dict[Any, list[float]] = {}
    for first, second in pairs:
        for draw in first.keys() & second.keys():
            by_draw.setdefault(draw, []).append(second[draw] - first[draw])
    return mean_interval([_mean(values) for values in by_draw.values()])


def _share(blocks: Sequence[Mapping[Any, float]]) -> float:
    """Eta squared: the variance between levels as a share of all variance between the blocks' trials."""
    pairs = [(level, value) for block in blocks for level, value in block.items() if not math.isnan(value)]
    values = np.array([value for _, value in pairs])
    total = float(((values - values.mean()) ** 2).sum()) if len(values) > 1 else 0.0
    if total == 0:
        return math.nan
    groups: dict[Any, list[float]] = {}
    for level, value in pairs:
        groups.setdefault(level, []).append(value)
    return sum(len(g) * (_mean(g) - float(values.mean())) ** 2 for g in groups.values()) / total


def machine_warning(table: pd.DataFrame) -> str | None:
    """One line if times of different machines, torch versions or thread counts stand in one table."""
    timed = table.dropna(subset=["step_ms"]) if "step_ms" in table else table.iloc[:0]
    mixed = {column: sorted(map(str, timed[column].unique())) for column in ("machine", "torch")}
    mixed = {column: values for column, values in mixed.items() if len(values) > 1}
    if not mixed:
        return None
    listed = "; ".join(f"{column} {', '.join(values)}" for column, values in mixed.items())
    return f"times from different places stand side by side and cannot be ranked against each other: {listed}"
