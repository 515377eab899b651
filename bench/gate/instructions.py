"""The gate's second signal: instructions executed, counted on both sides under callgrind.

Two trees and benchmarks go in; counts and lines for people come out. A count does not know of caches, memory or
threads, and valgrind lacks the widest vector instructions, so it explains and warns; it never decides.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import GateError
from bench.gate.pairs import Benchmark, explain, side_command, side_environment
from bench.gate.trees import SIDES, Trees
from bench.machine.processes import WorkerProcess
from bench.verdicts.verdict import SLOWER, Verdict

SIDE = "instructions_side"
BENCHMARKS = 3  # at most: importing torch under callgrind takes about a minute, once a benchmark and side
ITERATIONS, REPEATS = 20, 3
LIMIT_S = 1800.0  # for one benchmark
WARN = 0.03  # a smaller increase is not worth a line of its own
FLAT = 0.002
NOISE = 5  # an increase has to be that many times the spread of equal repeats


def check_valgrind() -> None:
    """Raises `GateError` where there is no valgrind."""
    if shutil.which("valgrind") is None:
        raise GateError("--instructions needs valgrind, which is not installed: apt-get install valgrind")


def choose(benchmarks: Sequence[Benchmark]) -> list[Benchmark]:
    """A few that between them run most of the code: the first of each phase, on the CPU."""
    chosen: dict[str, Benchmark] = {}
    for one in benchmarks:
        if one.trial["placement"]["device"] == "cpu":
            chosen.setdefault(one.phase, one)
    return list(chosen.values())[:BENCHMARKS]


def count_instructions(trees: Trees, benchmarks: Sequence[Benchmark], logs: Path) -> list[dict[str, Any]]:
    """Counts on both sides at once, since a count does not mind company.

    **Returns:** a mapping a benchmark: `name`, and by side `counts` (instructions of one iteration, one a repeat),
    `functions` (`[name, instructions]` of the busiest) and `reason` (why there are no counts, or "").
    """
    task = {
        "benchmarks": [{"name": one.name, "phase": one.phase, "trial": one.trial} for one in benchmarks],
        "iterations": ITERATIONS,
        "repeats": REPEATS,
    }
    rows: dict[str, dict[str, Any]] = {one.name: {"name": one.name} for one in benchmarks}
    with contextlib.ExitStack() as stack:
        sides = {}
        for side in SIDES:
            environment = side_environment(trees.link(side, "base"), 0)
            command = side_command(trees, side, SIDE)
            process = WorkerProcess(task, environment, logs / f"instructions-{side}.log", command)
            sides[side] = stack.enter_context(process)
        for side, process in sides.items():
            for message in process.messages(LIMIT_S):
                rows[message["name"]][side] = {key: message[key] for key in ("counts", "functions", "reason")}
            for row in rows.values():
                reason = explain(process)[1] if process.failure else "no answer"
                row.setdefault(side, {"counts": [], "functions": [], "reason": reason})
    return list(rows.values())


def describe_instructions(rows: Sequence[Mapping[str, Any]], verdicts: Sequence[Verdict]) -> list[str]:
    """A line a benchmark: how many instructions, how that changed, and what it says about the time."""
    slower = {one.name for one in verdicts if one.verdict == SLOWER}
    return [_describe(row, row["name"] in slower) for row in rows]


def _describe(row: Mapping[str, Any], slower: bool) -> str:
    name = f"instructions of {row['name']}"
    for side in SIDES:
        if row[side]["reason"]:
            return f"{name}: not counted on {side}: {row[side]['reason']}"
    base, head = (min(row[side]["counts"]) for side in SIDES)
    spread = max((max(row[side]["counts"]) - min(row[side]["counts"])) / base for side in SIDES)
    change = head / base - 1
    line = f"{name}: {base / 1e6:.3f} to {head / 1e6:.3f} million, {change:+z.2%}"
    if change >= max(WARN, NOISE * spread):
        return f"warning: {line}; most of it in {', '.join(_grown(row))}"
    if slower and abs(change) < max(FLAT, NOISE * spread):
        return f"{line}: slower with the same work: memory, threads or layout?"
    return line


def _grown(row: Mapping[str, Any]) -> list[str]:
    """The three functions that have grown most, by their names; what has none (code made at run time) is left out."""
    base, head = (dict(row[side]["functions"]) for side in SIDES)
    growth = {name: head.get(name, 0.0) - base.get(name, 0.0) for name in {*base, *head} if ":0x" not in name}
    largest = sorted(growth, key=lambda name: -growth[name])[:3]
    return [_shorten(name) for name in largest if growth[name] > 0]


def _shorten(function: str) -> str:
    """`file:void at::(anonymous namespace)::add(at::Tensor)` without the file and the arguments."""
    return function.partition(":")[2].replace("(anonymous namespace)::", "").partition("(")[0][-80:]
