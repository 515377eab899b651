"""One side of a comparison: benchmarks with their times on the log scale, and where they were measured.

A side is made from a run, from a table, or from files of pytest-benchmark. Nothing is compared here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis.repeats import process_medians
from bench.errors import SideError
from bench.experiment.trial import KNOBS, PHASES, Trial
from bench.records.record import Record
from bench.records.run import Run
from bench.statistics.intervals import Estimate, mean_interval
from bench.statistics.unpaired import LogTime, log_time, log_time_from_interval
from bench.verdicts.pytest_benchmark import PytestFile

ASSUMED_SPREAD = 0.10
"""Standard deviation of the log time from process to process, where one process is all there is. Stored results of
pytest-benchmark drift by more than 5 % between identical runs in 45 % of benchmarks and by up to 40 % (observ, issue
181): a normal spread of 5 % with heavier tails. Twice that keeps the family's error where it should be."""


@dataclass(frozen=True)
class Measured:
    """One benchmark: a phase of a trial, or what another suite timed.

    **Arguments:**

    - `name`: such as `relu max/step`; of a failed trial without the phase. `trial`: the name without the phase.
    - `key`: the trial's key with the phase; "" where there is none. `knobs`: of the trial, as text.
    - `time`: None for a trial that failed, whose `reason` says why.
    - `seconds`: of one iteration, a number a process; one number where only the middle is known.
    - `assumed`: whether the spread of `time` is `ASSUMED_SPREAD`.
    """

    name: str
    trial: str
    key: str = ""
    knobs: dict[str, str] = field(default_factory=dict)
    time: LogTime | None = None
    seconds: list[float] = field(default_factory=list)
    assumed: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Accuracy:
    """A trial's test accuracy (a share): by seed where that is known, and as an estimate over seeds."""

    estimate: Estimate
    by_seed: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Side:
    """Everything that one side has.

    **Arguments:**

    - `label`: for people. `place`: what is known of `id` (the machine's fingerprint), `cpu`, `cores`, `torch`.
    - `accuracies`: by the trial's key, or its name where there is no key.
    - `machine`, `commit`: as far as they are stored.
    """

    label: str
    place: dict[str, str]
    benchmarks: list[Measured]
    accuracies: dict[str, Accuracy] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    commit: str = ""


def from_run(run: Run) -> Side:
    """A run: every process's median, and the accuracy of every seed."""
    benchmarks: list[Measured] = []
    accuracies = {}
    for record in run.each():
        benchmarks += _from_record(record)
        if by_seed := record.accuracies():
            accuracies[record.key] = Accuracy(mean_interval(list(by_seed.values())), by_seed)
    return Side(
        label=f"run {run.experiment.get('name', '')}/{run.path.name}",
        place={name: str(run.machine.get(name) or "") for name in ("id", "cpu", "cores", "torch")},
        benchmarks=benchmarks,
        accuracies=accuracies,
        machine=run.machine,
        commit=str((run.experiment.get("git") or {}).get("commit") or ""),
    )


def _from_record(record: Record) -> Iterator[Measured]:
    """A benchmark for each phase that was timed; of a trial that failed or was not timed one, with the reason."""
    knobs = {knob: plain(value) for knob, value in record.knobs().items()}
    if record.status != "ok" or record.timing is None:
        reason = "not timed" if record.status == "ok" else f"{record.status}: {record.reason or record.cause}"
        yield Measured(record.name, record.name, record.key, knobs, reason=reason)
        return
    for phase in PHASES:
        if medians := process_medians(record.timing.samples.get(phase, [])):
            yield measured(record.name, phase, record.key, knobs, list(medians.values()))


def measured(trial: str, phase: str, key: str, knobs: dict[str, str], medians: list[float]) -> Measured:
    """A benchmark from the median seconds of each of its processes."""
    time = log_time(medians, ASSUMED_SPREAD)
    name = f"{trial}/{phase}" if phase else trial
    return Measured(name, trial, f"{key}/{phase}" if key else "", knobs, time, medians, assumed=len(medians) == 1)


TEXTS = {
    *("name", "key", "run", "status", "cause", "reason", "timing_stopped", "machine", "torch"),
    *(knob for knob, value in Trial().knobs().items() if isinstance(value, str)),
}
"""Columns whose values are text whatever they look like: a key may read as a number, a name as "NA"."""


def read_table(path: Path) -> pd.DataFrame:
    """A table that `lenet-bench` wrote. Raises `SideError`."""
    try:
        table = _read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except Exception as error:  # pandas and pyarrow raise dozens of kinds for a damaged file
        raise SideError(
            f"{path}: cannot be read as {path.suffix[1:]} ({' '.join(str(error).split())[:200]})"
        ) from error
    wanted = {"name", "key", "status", "processes", "seeds", "machine", "torch"}
    if lacking := sorted(wanted - set(table.columns)):
        raise SideError(f"{path}: not a table that lenet-bench wrote (no column {', '.join(lacking)})")
    for column in ("machine", "torch"):
        if len(known := _known(table[column])) > 1:
            raise SideError(f"{path}: times of {len(known)} {column} values in one table: {', '.join(known)}")
    return table


def _read_csv(path: Path) -> pd.DataFrame:
    """Texts as they stand, and numbers where the others are; no name is taken for a number or for nothing."""
    columns = set(pd.read_csv(path, nrows=0).columns)
    nothing = {column: ["", "NA", "NaN", "nan"] for column in columns - TEXTS}
    texts = dict.fromkeys(columns & TEXTS, str)
    return pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=nothing)


def _known(column: pd.Series[Any]) -> list[str]:
    """Each value once, but for what is not known."""
    return [str(value) for value in column.dropna().unique() if value != ""]


def from_table(table: pd.DataFrame, label: str) -> Side:
    """A table: middles and intervals, from which the spread between processes is worked out again. Raises
    `SideError`.
    """
    benchmarks: list[Measured] = []
    accuracies = {}
    for number, row in enumerate(table.to_dict("records"), start=1):
        try:
            benchmarks += _from_row(row)
            value, low, high = (_number(row, f"test_accuracy{end}") for end in ("", "_low", "_high"))
            if row["status"] == "ok" and row["seeds"] > 0:
                accuracies[str(row["key"])] = Accuracy(Estimate(value, low, high, int(row["seeds"])))
        except (TypeError, ValueError, OverflowError) as error:
            raise SideError(f"{label}: row {number}: {error}") from error
    place = {name: next(iter(_known(table[column])), "") for name, column in (("id", "machine"), ("torch", "torch"))}
    return Side(label, place, benchmarks, accuracies)


def _from_row(row: Mapping[Any, Any]) -> Iterator[Measured]:
    """As `_from_record`, from a table's row."""
    name, key = str(row["name"]), str(row["key"])
    knobs = {knob: plain(row[knob]) for knob in KNOBS if knob in row}
    if row["status"] != "ok":
        yield Measured(name, name, key, knobs, reason=f"{row['status']}: {row.get('reason') or row.get('cause') or ''}")
        return
    for phase in PHASES:
        value, low, high = (_number(row, f"{phase}_ms{end}") / 1e3 for end in ("", "_low", "_high"))
        if 0 < value < math.inf:
            benchmark = measured(name, phase, key, knobs, [value])
            if (processes := int(row["processes"])) > 1 and 0 < low <= high < math.inf:
                time = log_time_from_interval(Estimate(value, low, high, processes))
                benchmark = replace(benchmark, time=time, assumed=False)
            yield benchmark


def _number(row: Mapping[Any, Any], column: str) -> float:
    """A cell as a number; NaN where there is none."""
    value = row.get(column)
    return math.nan if value is None else float(value)


def plain(value: Any) -> str:
    """A knob's value as text, the same from a record as from a table, which turns 64 into 64.0 and None into NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def from_pytest_files(files: list[PytestFile], label: str) -> Side:
    """Files of pytest-benchmark. Each is one process, unless the suite wrote it: then a round is a process."""
    medians: dict[str, list[float]] = {}
    for file in files:
        ours = "lenet_bench" in file.machine_info
        for benchmark in file.benchmarks:
            per_process = benchmark.seconds if ours and benchmark.seconds else [float(benchmark.stats["median"])]
            medians.setdefault(benchmark.fullname, []).extend(per_process)
    places = [_pytest_place(file.machine_info) for file in files]
    if any(place != places[0] for place in places):
        raise SideError(f"{label}: its files come from different machines")
    first = files[0]
    return Side(
        label=label,
        place=places[0],
        benchmarks=[measured(name, "", "", {}, values) for name, values in medians.items()],
        machine={"hostname": str(first.machine_info.get("node") or "")},
        commit=str(first.commit_info.get("id") or ""),
    )


def _pytest_place(machine_info: Mapping[str, Any]) -> dict[str, str]:
    """What a file says of its machine, under a side's names; the suite's own files say all of it."""
    cpu, ours = (value if isinstance(value, dict) else {} for value in map(machine_info.get, ("cpu", "lenet_bench")))
    place = {"cpu": cpu.get("brand_raw") or cpu.get("brand"), "cores": cpu.get("count"), **ours}
    return {name: str(value or "") for name, value in place.items()}
