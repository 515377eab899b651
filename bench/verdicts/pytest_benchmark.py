"""pytest-benchmark's JSON, both ways: what the plug-in saved comes in, what its own `compare` command reads goes out.

Neither needs the plug-in. Seconds throughout.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.errors import FormatError
from bench.text.json_text import strict_json
from bench.verdicts.verdict import Verdict

VERSION = "5.1.0"  # of the layout: the plug-in's version that wrote these fields first


@dataclass(frozen=True)
class PytestBenchmark:
    """One benchmark as the plug-in saved it.

    **Arguments:**

    - `fullname`: with the file, `tests/test_x.py::test_y[1]`; `name` is the last part of it.
    - `stats`: `min`, `max`, `mean`, `stddev`, `rounds`, `median`, `iqr`, ... in seconds of one iteration.
    - `seconds`: each round's seconds of one iteration; empty where the data was not saved.
    """

    name: str
    fullname: str
    group: str
    params: dict[str, Any]
    extra_info: dict[str, Any]
    stats: dict[str, Any]
    seconds: list[float]


@dataclass(frozen=True)
class PytestFile:
    """One execution of a suite."""

    path: Path
    machine_info: dict[str, Any]
    commit_info: dict[str, Any]
    datetime: str
    benchmarks: list[PytestBenchmark]


def read_pytest_benchmark(path: Path) -> PytestFile:
    """Reads what `--benchmark-json` or `--benchmark-autosave` wrote, of any version. Raises `FormatError`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not isinstance(content.get("benchmarks"), list):
            raise FormatError(f"{path}: not a file of pytest-benchmark (no list 'benchmarks' in it)")
        benchmarks = [_read_benchmark(entry) for entry in content["benchmarks"]]
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise FormatError(f"{path}: not JSON ({' '.join(str(error).split())})") from error
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise FormatError(
            f"{path}: not a file of pytest-benchmark (a benchmark without {type(error).__name__} {error})"
        ) from error
    return PytestFile(
        path=path,
        machine_info=_machine(content.get("machine_info")),
        commit_info=_mapping(content.get("commit_info")),
        datetime=str(content.get("datetime") or ""),
        benchmarks=benchmarks,
    )


def _machine(value: Any) -> dict[str, Any]:
    """What the file says of the machine. Suites may write anything there (`pytest_benchmark_update_machine_info`): a
    processor that is no mapping is not known.
    """
    machine = _mapping(value)
    return {**machine, "cpu": _mapping(machine.get("cpu"))} if "cpu" in machine else machine


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _read_benchmark(entry: Mapping[str, Any]) -> PytestBenchmark:
    stats = dict(entry["stats"])
    seconds = [float(value) for value in stats.pop("data", None) or []]
    for number in stats.values():
        if isinstance(number, int):
            float(number)  # JSON's integers know no limit; raises OverflowError
    if not 0 < float(stats["median"]) < math.inf:
        raise ValueError(f"a median above 0: {stats['median']!r}")
    return PytestBenchmark(
        name=str(entry["name"]),
        fullname=str(entry.get("fullname") or entry["name"]),
        group=str(entry.get("group") or ""),
        params=_mapping(entry.get("params")),
        extra_info=_mapping(entry.get("extra_info")),
        stats=stats,
        seconds=seconds,
    )


def write_pytest_benchmark(header: Mapping[str, Any], verdicts: Sequence[Verdict], side: str = "head") -> str:
    """One side's times, a round a repeat. Benchmarks without a time on that side are left out, as the plug-in does.

    **Arguments:**

    - `side`: `head` or `base`. The plug-in's `compare` takes a file a side.
    """
    machine = dict(header.get("machine") or {})
    rounds = [(one, one.head_s if side == "head" else one.base_s) for one in verdicts]
    stamp = datetime.fromtimestamp(header.get("started_s") or 0, UTC).isoformat()
    return strict_json(
        {
            "machine_info": {
                "node": machine.get("hostname", ""),
                "processor": "",
                "machine": "",
                "python_version": machine.get("python", ""),
                "cpu": {"brand_raw": machine.get("cpu", ""), "count": machine.get("cores")},
                "lenet_bench": {name: machine.get(name, "") for name in ("id", "torch")},
            },
            "commit_info": {
                "id": header.get("commit", "") if side == "head" else "",
                "time": stamp,
                "project": "lenet-bench",
                "branch": "",
            },
            "benchmarks": [_write_benchmark(one, seconds) for one, seconds in rounds if seconds],
            "datetime": stamp,
            "version": VERSION,
        }
    )


def _write_benchmark(verdict: Verdict, seconds: list[float]) -> dict[str, Any]:
    known = ("verdict", "severity", "ratio", "low", "high")
    return {
        "group": None,
        "name": verdict.name,
        "fullname": verdict.name,
        "params": None,
        "param": None,
        "extra_info": {name: getattr(verdict, name) for name in known},
        "options": {"disable_gc": True, "timer": "perf_counter", "warmup": True},
        "stats": describe(seconds),
    }


def describe(seconds: list[float]) -> dict[str, Any]:
    """The plug-in's statistics of a list of rounds."""
    ordered = sorted(seconds)
    quartiles = statistics.quantiles(ordered, method="inclusive") if len(ordered) > 1 else [ordered[0]] * 3
    q1, median, q3 = quartiles
    iqr, mean = q3 - q1, statistics.fmean(ordered)
    deviation = statistics.stdev(ordered) if len(ordered) > 1 else 0.0
    near = [value for value in ordered if q1 - 1.5 * iqr <= value <= q3 + 1.5 * iqr]
    far = sum(abs(value - mean) > deviation for value in ordered) if deviation else 0
    outside = len(ordered) - len(near)
    return {
        "min": ordered[0],
        "max": ordered[-1],
        "mean": mean,
        "stddev": deviation,
        "rounds": len(ordered),
        "median": median,
        "iqr": iqr,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": outside,
        "stddev_outliers": far,
        "outliers": f"{far};{outside}",
        "ld15iqr": near[0],
        "hd15iqr": near[-1],
        "ops": 1 / mean if mean else math.inf,
        "total": sum(ordered),
        "data": seconds,
        "iterations": 1,
    }
