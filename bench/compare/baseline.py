"""Baselines: what an experiment's times were on a machine, as a small text file that is committed with the code.

The file has a line a benchmark, sorted, so that a diff shows what moved. Its digits are enough for a ratio to 0.1 %,
and the spread between processes is kept for the ratio's interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from bench.compare.side import ASSUMED_SPREAD, Measured, Side
from bench.errors import RecordError, SideError
from bench.records.files import write_whole
from bench.statistics.unpaired import LogTime

FIRST_LINE = "# lenet-bench baseline 1"
COLUMNS = ("benchmark", "ms", "spread_percent", "processes", "threads", "trial")


class NoBaselineError(SideError):
    """Nothing to compare with: no verdict, rather than bad input."""


@dataclass(frozen=True)
class Saved:
    """A baseline that was written: where, how many of its benchmarks are new, changed and gone, and which trials have
    no place in it because they did not succeed.
    """

    path: Path
    new: int
    changed: int
    gone: int
    left_out: list[str]


def baseline_path(results: Path, experiment: str, machine: str) -> Path:
    """Where the baseline of an experiment on a machine is."""
    return results / "baselines" / f"{experiment}.{machine}.txt"


def format_baseline(side: Side, experiment: str, saved: str) -> str:
    """The file's text.

    **Arguments:**

    - `saved`: when, for people.
    """
    facts = {"experiment": experiment, **side.place, "commit": side.commit[:12], "saved": saved, "from": side.label}
    lines = [FIRST_LINE, *(f"# {name}: {value}" for name, value in facts.items()), "# " + "\t".join(COLUMNS)]
    return (
        "\n".join(lines + sorted(_line(benchmark) for benchmark in side.benchmarks if benchmark.time is not None))
        + "\n"
    )


def _line(benchmark: Measured) -> str:
    """The cells of `COLUMNS`, with tabs between them."""
    time = benchmark.time
    assert time is not None
    processes = 1 if benchmark.assumed else int(time.degrees) + 1
    spread = "" if benchmark.assumed else f"{100 * time.error * math.sqrt(processes):.2g}"
    ms, threads = f"{1e3 * math.exp(time.mean):.4g}", benchmark.knobs.get("threads", "")
    cells = (benchmark.name, ms, spread, str(processes), threads, benchmark.key.partition("/")[0])
    return "\t".join(" ".join(cell.split()) for cell in cells)


def read_baseline(path: Path) -> Side:
    """A baseline as a side. Raises `SideError`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SideError(f"{path}: cannot be read ({error})") from error
    if not lines or lines[0] != FIRST_LINE:
        raise SideError(f"{path}: not a baseline (its first line is not '{FIRST_LINE}')")
    facts: dict[str, str] = {}
    benchmarks = []
    for number, line in enumerate(lines, start=1):
        if line.startswith("#"):
            name, colon, value = line.removeprefix("# ").partition(": ")
            facts |= {name: value} if colon else {}
        elif line.strip():
            benchmarks.append(_read_line(line, f"{path}:{number}"))
    place = {name: facts.get(name, "") for name in ("id", "cpu", "cores", "torch")}
    label = f"baseline {path.name}, saved {facts.get('saved', '')}"
    return Side(label, place, benchmarks, commit=facts.get("commit", ""))


def _read_line(line: str, where: str) -> Measured:
    """The inverse of `_line`; `where` is for the error. Raises `SideError`."""
    cells = line.split("\t")
    if len(cells) != len(COLUMNS):
        raise SideError(f"{where}: {len(cells)} columns; {len(COLUMNS)} are wanted, with tabs between them")
    name, ms, spread, processes, threads, key = cells
    trial, slash, phase = name.rpartition("/")
    try:
        seconds, n = float(ms) / 1e3, int(processes)
        deviation = float(spread) / 100 if spread else ASSUMED_SPREAD
        if not (0 < seconds < math.inf and 0 <= deviation < math.inf and n >= 1):
            raise ValueError("a time, a number of processes above 0 and a spread of 0 or more are wanted")
    except ValueError as error:
        raise SideError(f"{where}: {error}") from error
    time = LogTime(math.log(seconds), deviation / math.sqrt(n), n - 1 if spread and n > 1 else math.inf)
    return Measured(
        name=name,
        trial=trial if slash else name,
        key=f"{key}/{phase}" if key else "",
        knobs={"threads": threads} if threads else {},
        time=time,
        seconds=[seconds],
        assumed=not spread,
    )


def save_baseline(side: Side, experiment: str, results: Path, saved: str) -> Saved:
    """Writes the baseline of a side's machine, over the one before it. Raises `SideError`, `RecordError`."""
    machine = side.place.get("id", "")
    if not machine:
        raise SideError(f"{side.label}: its machine is not known, and a baseline belongs to one")
    left_out = [f"{failed.name} ({failed.reason})" for failed in side.benchmarks if failed.time is None]
    if len(left_out) == len(side.benchmarks):
        raise SideError(f"{side.label}: nothing in it was timed, so there is nothing to save")
    path = baseline_path(results, experiment, machine)
    before = _lines(path.read_text(encoding="utf-8")) if path.exists() else {}
    text = format_baseline(side, experiment, saved)
    after = _lines(text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(f"{path}: cannot be written ({error.strerror})") from error
    write_whole(path, text)
    both = before.keys() & after.keys()
    changed = sum(before[name] != after[name] for name in both)
    return Saved(path, len(after) - len(both), changed, len(before) - len(both), left_out)


def _lines(text: str) -> dict[str, str]:
    """A baseline's lines by the benchmark's name."""
    return {line.partition("\t")[0]: line for line in text.splitlines() if line and not line.startswith("#")}


def find_baseline(results: Path, experiment: str, machine: str) -> Path:
    """The baseline of an experiment on a machine. Raises `SideError` that says how to make one."""
    path = baseline_path(results, experiment, machine)
    if path.is_file():
        return path
    others = ", ".join(sorted(other.name for other in path.parent.glob(f"{experiment}.*.txt")))
    beside = f"; there is {others}, of other machines" if others else ""
    raise NoBaselineError(
        f"{path}: no baseline of '{experiment}' on this machine{beside}. Make one with: lenet-bench baseline save"
    )


def list_baselines(results: Path, experiment: str | None = None) -> list[Path]:
    """The baselines there are, of one experiment or of all. Raises `SideError` where an experiment has none."""
    paths = sorted((results / "baselines").glob(f"{experiment or '*'}.*.txt"))
    if experiment is not None and not paths:
        raise SideError(f"{results / 'baselines'}: no baseline of '{experiment}'")
    return paths
