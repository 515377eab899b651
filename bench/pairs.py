"""The pair protocol: two fresh processes, one a side, alive together and busy in turn.

Two trees and a list of benchmarks go in; raw blocks of both sides come out, pair by pair. What they mean is decided by
`bench.gate`. The parent sleeps on a pipe while a block runs.

    for each pair:
        draw: which side starts first, which link leads to which tree, one hash seed for both, the order of benchmarks
        start both; each builds its benchmarks and is bound to the same core
        for each benchmark: warm both up, then `alternations` times: a block of either side, in coin-flipped order

What the sides run, and how they are started, is a `Suite`: trials here, tests in `bench.pytest_suite`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench.launch import START_LIMIT_S, LaunchError, WorkerProcess
from bench.machine import worker_environment
from bench.trees import SIDES, Trees

CONTROL = "control"
BLOCK_LIMIT_S = 60.0  # a block is asked to last milliseconds
FEWEST_ALTERNATIONS = 5  # of a benchmark that takes longer than a block should
SCRIPT = Path(__file__).with_name("pair_worker.py")


@dataclass(frozen=True)
class Benchmark:
    """One thing that is timed: a phase of a trial (as of `Trial.to_dict()`), or a test. `name` is unique."""

    name: str
    phase: str = ""
    trial: dict[str, Any] = field(default_factory=dict)


class Suite(Protocol):
    """What both sides of a pair run. `begin_limit_s`: what getting ready for one benchmark may take."""

    script: Path
    begin_limit_s: float

    def describe(self, link: Path, benchmarks: Iterable[Benchmark]) -> dict[str, Any]:
        """Its part of the first line that a side reads."""

    def order(self, names: Sequence[str], draw: random.Random) -> list[str]:
        """The order in which both sides run the benchmarks and the control."""


class TrialSuite:
    """Phases of trials, in a new random order each pair."""

    script = SCRIPT
    begin_limit_s = BLOCK_LIMIT_S

    def describe(self, link: Path, benchmarks: Iterable[Benchmark]) -> dict[str, Any]:
        """One thread, and each benchmark whole."""
        return {
            "threads": 1,
            "benchmarks": [{"name": b.name, "phase": b.phase, "trial": b.trial} for b in benchmarks],
        }

    def order(self, names: Sequence[str], draw: random.Random) -> list[str]:
        """Any: they are all built before the first is run."""
        return draw.sample([CONTROL, *names], len(names) + 1)


@dataclass(frozen=True)
class Pair:
    """What one pair measured.

    **Arguments:**

    - `stage`: `screen`, `confirm` or `extend`; `number` counts from 0 over all of them.
    - `first`: the side that was started first. `left`: the side behind the first link. `hash_seed`: of both processes.
    - `iterations`: of a block, by benchmark.
    - `blocks`: by benchmark a list of `[base_s, head_s, base_cpu_s, head_cpu_s, base_first]`, one an alternation.
    - `failed`: by side, the benchmarks that could not be built or run there, with the reason.
    - `died`: `[side, benchmark, reason]` if a process ended before its time; "" for the benchmark: while starting.
    """

    stage: str
    number: int
    first: str
    left: str
    hash_seed: int
    iterations: dict[str, int] = field(default_factory=dict)
    blocks: dict[str, list[list[float]]] = field(default_factory=dict)
    failed: dict[str, dict[str, str]] = field(default_factory=lambda: {side: {} for side in SIDES})
    died: list[str] = field(default_factory=list)


class _Died(Exception):
    def __init__(self, side: str, reason: str) -> None:
        super().__init__(reason)
        self.side = side


class PairSource:
    """Measures pairs.

    **Arguments:**

    - `trees`: both sides. `logs`: a folder for the processes' standard error.
    - `alternations`: blocks of either side, a benchmark and pair. `block_s`: what a block is calibrated to last.
    - `draw`: the source of every coin flip. `suite`: what is run.
    - `iterations`: how often a block runs each benchmark: counted on base when first seen, then the same for both
      sides and all pairs. What takes longer than a block should runs once a block, and in fewer blocks.
    """

    def __init__(
        self,
        trees: Trees,
        logs: Path,
        *,
        alternations: int,
        block_s: float,
        draw: random.Random,
        suite: Suite | None = None,
    ) -> None:
        self._trees, self._logs, self._alternations, self._block_s = trees, logs, alternations, block_s
        self._draw, self._suite = draw, suite or TrialSuite()
        self.iterations: dict[str, int] = {}
        self._shortened: dict[str, int] = {}
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._core = cores[-1] if cores else None

    def measure(self, stage: str, number: int, benchmarks: Sequence[Benchmark]) -> Pair:
        """One pair. A side that dies ends it early and is named in it."""
        draw = self._draw
        first, left, hash_seed = draw.choice(SIDES), draw.choice(SIDES), draw.randrange(2**32)
        pair = Pair(stage, number, first, left, hash_seed)
        busy = ""
        with contextlib.ExitStack() as stack:
            sides = {}
            for side in sorted(SIDES, key=lambda side: side != first):
                sides[side] = stack.enter_context(self._start(side, pair, benchmarks))
            try:
                for side, process in sides.items():
                    ready = _receive(side, process, START_LIMIT_S)
                    if ready["kind"] == "broken":
                        raise LaunchError(f"the {side} side cannot be run: {ready['reason']}")
                    pair.failed[side].update(ready["failed"])
                unable = {name for names in pair.failed.values() for name in names}
                order = self._suite.order([b.name for b in benchmarks if b.name not in unable], draw)
                for place, busy in enumerate(order):
                    following = next((name for name in order[place + 1 :] if name != CONTROL), None)
                    self._alternate(pair, busy, following, sides)
                    going = {side: process for side, process in sides.items() if busy not in pair.failed[side]}
                    end = {"kind": "end", "benchmark": busy}
                    _note_failures(pair, busy, {s: _command(s, p, end, START_LIMIT_S) for s, p in going.items()})
            except _Died as death:
                pair.died.extend([death.side, busy, str(death)])
            else:
                for process in sides.values():
                    process.close_input()
                for process in sides.values():
                    process.receive(START_LIMIT_S)  # nothing more comes: it returns when the side has ended by itself
        return pair

    def _start(self, side: str, pair: Pair, benchmarks: Iterable[Benchmark]) -> WorkerProcess:
        link = self._trees.link(side, pair.left)
        task = {
            "kind": "time",
            "tree": str(self._trees.path(side)),
            "core": self._core,
            "seed": pair.hash_seed,
            **self._suite.describe(link, benchmarks),
        }
        return WorkerProcess(
            task,
            side_environment(link, pair.hash_seed),
            self._logs / f"{side}-{pair.number}.log",
            side_command(self._trees, side, self._suite.script),
        )

    def _alternate(self, pair: Pair, name: str, following: str | None, sides: dict[str, WorkerProcess]) -> None:
        """All blocks of one benchmark. A failure that a process survives is noted and ends it here."""
        order = self._draw.sample(SIDES, 2)
        begin, limit_s = {"kind": "warm_up", "benchmark": name, "following": following}, self._suite.begin_limit_s
        warm = {side: _command(side, sides[side], begin, limit_s) for side in order}
        if _note_failures(pair, name, warm):
            return
        if name not in self.iterations:
            share = self._block_s / max(warm["base"]["seconds"], 1e-9)
            self.iterations[name] = max(1, round(share))
            if share < 1:
                self._shortened[name] = max(FEWEST_ALTERNATIONS, round(self._alternations * share))
        pair.iterations[name] = self.iterations[name]
        command = {"kind": "block", "benchmark": name, "iterations": self.iterations[name]}
        blocks = []
        for _ in range(min(self._alternations, self._shortened.get(name, self._alternations))):
            order = self._draw.sample(SIDES, 2)
            done = {side: _command(side, sides[side], command) for side in order}
            if _note_failures(pair, name, done):
                return
            both = (done["base"], done["head"])
            blocks.append([*(d["seconds"] for d in both), *(d["cpu_seconds"] for d in both), float(order[0] == "base")])
        pair.blocks[name] = blocks

    def train(self, trainings: list[dict[str, Any]], data_root: Path) -> dict[str, list[dict[str, Any]]]:
        """Trains the same trials and seeds on both sides, at the same time. Raises `LaunchError` if a side dies."""
        with contextlib.ExitStack() as stack:
            sides = {}
            for side in SIDES:
                task = {
                    "kind": "train",
                    "tree": str(self._trees.path(side)),
                    "threads": 1,
                    "data_root": str(data_root),
                    "trainings": trainings,
                }
                environment = side_environment(self._trees.link(side, "base"), 0)
                command = side_command(self._trees, side, SCRIPT)
                process = WorkerProcess(task, environment, self._logs / f"train-{side}.log", command)
                sides[side] = stack.enter_context(process)
            trained: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
            for side, process in sides.items():
                for message in process.messages(START_LIMIT_S):
                    if message["kind"] == "broken":
                        raise LaunchError(f"the {side} side cannot be run: {message['reason']}")
                    trained[side].append(message)
                if process.failure:
                    raise LaunchError(f"the {side} side died while training: {process.failure[1]}")
        return trained


def side_command(trees: Trees, side: str, script: Path) -> list[str]:
    """The judge's script, run by a side's interpreter; the judge's folder stays off its path."""
    return [trees.pythons[side], "-P", str(script)]


def side_environment(link: Path, hash_seed: int) -> dict[str, str]:
    """The environment of one side; the two differ in nothing but one letter of a path."""
    return {
        **worker_environment(1),
        "PYTHONPATH": os.pathsep.join([str(link), *([str(link / "src")] if (link / "src").is_dir() else [])]),
        "PYTHONHASHSEED": str(hash_seed),
        "PYTHONDONTWRITEBYTECODE": "1",
        "KINETO_LOG_LEVEL": "99",
    }


def _receive(side: str, process: WorkerProcess, limit_s: float) -> dict[str, Any]:
    message = process.receive(limit_s)
    if message is None:
        assert process.failure is not None
        raise _Died(side, process.failure[1])
    return message


def _command(
    side: str, process: WorkerProcess, command: dict[str, Any], limit_s: float = BLOCK_LIMIT_S
) -> dict[str, Any]:
    process.answer(json.dumps(command))
    return _receive(side, process, limit_s)


def _note_failures(pair: Pair, name: str, answers: dict[str, dict[str, Any]]) -> bool:
    for side, answer in answers.items():
        if answer["kind"] == "failed":
            pair.failed[side][name] = answer["reason"]
    return any(answer["kind"] == "failed" for answer in answers.values())
