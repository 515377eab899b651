"""Measures pairs: two fresh processes, one a side, alive together and busy in turn.

Two trees and a list of benchmarks go in; raw blocks of both sides come out, pair by pair. What they mean is decided by
`bench.gate.decision`. The parent sleeps on a pipe while a block runs.

    for each pair:
        draw: which side starts first, which link leads to which tree, one hash seed for both, the order of benchmarks
        start both; each builds its benchmarks and is bound to the same core
        for each benchmark: warm both up, then `alternations` times: a block of either side, in coin-flipped order

What the sides run is a `Suite`: trials or tests (`bench.gate.suites`).
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

from bench.errors import LaunchError
from bench.gate.settings import Settings
from bench.gate.sides.channel import CONTROL
from bench.gate.trees import SIDES, Trees
from bench.machine.environment import worker_environment
from bench.machine.processes import START_LIMIT_S, WorkerProcess
from bench.measure.calibration import count_iterations

FEWEST_ALTERNATIONS = 5  # of a benchmark that takes longer than a block should
START = Path(__file__).parent / "sides" / "start.py"


@dataclass(frozen=True)
class Benchmark:
    """One thing that is timed: a phase of a trial (as of `Trial.to_dict()`), or a test. `name` is unique."""

    name: str
    phase: str = ""
    trial: dict[str, Any] = field(default_factory=dict)


class Suite(Protocol):
    """What both sides of a pair run. `begin_limit_s`: what getting ready for one benchmark may take."""

    module: str
    begin_limit_s: float

    def describe(self, link: Path, benchmarks: Iterable[Benchmark]) -> dict[str, Any]:
        """Its part of the first line that a side reads."""

    def order(self, names: Sequence[str], draw: random.Random) -> list[str]:
        """The order in which both sides run the benchmarks and the control."""


@dataclass(frozen=True)
class Pair:
    """What one pair measured.

    **Arguments:**

    - `stage`: `screen`, `confirm` or `extend`; `number` counts from 0 over all of them.
    - `first`: the side that was started first. `left`: the side behind the first link. `hash_seed`: of both processes.
    - `iterations`: of a block, by benchmark.
    - `blocks`: by benchmark a list of `[base_s, head_s, base_cpu_s, head_cpu_s, base_first]`, one an alternation.
    - `failed`: by side, the benchmarks that could not be built or run there, with the reason.
    - `died`: `[side, benchmark, cause, reason]` of processes that ended before their time, or hung; "" for the
      benchmark: while starting.
    """

    stage: str
    number: int
    first: str
    left: str
    hash_seed: int
    iterations: dict[str, int] = field(default_factory=dict)
    blocks: dict[str, list[list[float]]] = field(default_factory=dict)
    failed: dict[str, dict[str, str]] = field(default_factory=lambda: {side: {} for side in SIDES})
    died: list[list[str]] = field(default_factory=list)


class PairSource:
    """Measures pairs.

    **Arguments:**

    - `trees`: both sides. `logs`: a folder for the processes' standard error. `suite`: what is run.
    - `settings`: its `alternations`, `block_ms` and `limit_s` count here.
    - `draw`: the source of every coin flip.
    - `iterations`: how often a block runs each benchmark: counted on base when first seen, then the same for both
      sides and all pairs. What takes longer than a block should runs once a block, and in fewer blocks.
    """

    def __init__(self, trees: Trees, logs: Path, suite: Suite, settings: Settings, draw: random.Random) -> None:
        self._trees, self._logs, self._suite, self._settings, self._draw = trees, logs, suite, settings, draw
        self.iterations: dict[str, int] = {}
        self._shortened: dict[str, int] = {}
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._core = cores[-1] if cores else None

    def measure(self, stage: str, number: int, benchmarks: Sequence[Benchmark]) -> Pair:
        """One pair. A side that dies ends it, but only after the other was asked for the same: it may die of it too."""
        draw = self._draw
        first, left, hash_seed = draw.choice(SIDES), draw.choice(SIDES), draw.randrange(2**32)
        pair = Pair(stage, number, first, left, hash_seed)
        with contextlib.ExitStack() as stack:
            sides = {}
            for side in sorted(SIDES, key=lambda side: side != first):
                sides[side] = stack.enter_context(self._start(side, pair, benchmarks))
            for side, process in sides.items():
                self._await_ready(pair, side, process)
            unable = {name for names in pair.failed.values() for name in names}
            order = self._suite.order([b.name for b in benchmarks if b.name not in unable], draw)
            for place, name in enumerate(order):
                if pair.died:
                    return pair
                following = next((name for name in order[place + 1 :] if name != CONTROL), None)
                self._alternate(pair, name, following, sides)
            for process in sides.values():
                process.close_input()
            for process in sides.values():
                process.receive(START_LIMIT_S)  # nothing more comes: it returns when the side has ended by itself
        return pair

    def _await_ready(self, pair: Pair, side: str, process: WorkerProcess) -> None:
        """Until a side has built its benchmarks, or died of one."""
        building, limit_s = "", START_LIMIT_S
        while (message := process.receive(limit_s)) is not None and message["kind"] == "building":
            building, limit_s = message["benchmark"], self._settings.limit_s
        if message is None:
            pair.died.append([side, building, *explain(process)])
        elif message["kind"] == "broken":
            raise LaunchError(f"the {side} side cannot be run: {message['reason']}")
        else:
            pair.failed[side].update(message["failed"])

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
            side_command(self._trees, side, self._suite.module),
        )

    def _alternate(self, pair: Pair, name: str, following: str | None, sides: dict[str, WorkerProcess]) -> None:
        """All blocks of one benchmark. What fails or dies is noted in the pair, and ends it here."""
        blocks = self._measure_blocks(pair, name, following, sides)
        if blocks:
            pair.iterations[name], pair.blocks[name] = self.iterations[name], blocks
        if not pair.died:
            going = {side: process for side, process in sides.items() if name not in pair.failed[side]}
            self._ask(pair, name, going, {"kind": "end", "benchmark": name}, START_LIMIT_S)

    def _measure_blocks(
        self, pair: Pair, name: str, following: str | None, sides: dict[str, WorkerProcess]
    ) -> list[list[float]]:
        begin = {"kind": "warm_up", "benchmark": name, "following": following}
        warm = self._ask(pair, name, sides, begin, max(self._settings.limit_s, self._suite.begin_limit_s))
        if len(warm) < len(SIDES):
            return []
        if name not in self.iterations:
            block_s, each_s = self._settings.block_ms / 1e3, warm["base"]["seconds"]
            self.iterations[name] = count_iterations(block_s, each_s)
            if each_s > block_s:
                shortened = round(self._settings.alternations * block_s / each_s)
                self._shortened[name] = max(FEWEST_ALTERNATIONS, shortened)
        command = {"kind": "block", "benchmark": name, "iterations": self.iterations[name]}
        blocks = []
        for _ in range(min(self._settings.alternations, self._shortened.get(name, self._settings.alternations))):
            done = self._ask(pair, name, sides, command, self._settings.limit_s)
            if len(done) < len(SIDES):
                return []
            both = (done["base"], done["head"])
            base_first = float(next(iter(done)) == "base")
            blocks.append([*(d["seconds"] for d in both), *(d["cpu_seconds"] for d in both), base_first])
        return blocks

    def _ask(
        self, pair: Pair, name: str, sides: dict[str, WorkerProcess], command: dict[str, Any], limit_s: float
    ) -> dict[str, dict[str, Any]]:
        """The sides' answers to one command, asked for in coin-flipped order; the pair says why one is lacking."""
        answers = {}
        for side in self._draw.sample(sorted(sides), len(sides)):
            sides[side].answer(json.dumps(command))
            answer = sides[side].receive(limit_s)
            if answer is None:
                pair.died.append([side, name, *explain(sides[side])])
            elif answer["kind"] == "failed":
                pair.failed[side][name] = answer["reason"]
            else:
                answers[side] = answer
        return answers


def side_command(trees: Trees, side: str, module: str) -> list[str]:
    """A module of `bench/gate/sides`, run by a side's interpreter; the judge's folders stay off its path."""
    return [trees.pythons[side], "-P", str(START), module]


def side_environment(link: Path, hash_seed: int) -> dict[str, str]:
    """The environment of one side; the two differ in nothing but one letter of a path."""
    return {
        **worker_environment(1),
        "PYTHONPATH": os.pathsep.join([str(link), *([str(link / "src")] if (link / "src").is_dir() else [])]),
        "PYTHONHASHSEED": str(hash_seed),
        "PYTHONDONTWRITEBYTECODE": "1",
        "KINETO_LOG_LEVEL": "99",
    }


def explain(process: WorkerProcess) -> tuple[str, str]:
    """Cause and reason of a process that did not answer."""
    assert process.failure is not None
    return process.failure
