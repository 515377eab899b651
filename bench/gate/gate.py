"""Runs one gate: lays out two revisions, measures pairs of them, and keeps everything in a folder.

What is measured follows from `bench.gate.plan`, when it is enough from `bench.gate.decision`, and how it is kept from
`bench.gate.stored`. The clock is in the judged processes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import random
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.errors import BusyError, GateError, LaunchError
from bench.gate.accuracy import run_trainings
from bench.gate.decision import run_gate
from bench.gate.instructions import check_valgrind, choose, count_instructions
from bench.gate.pairs import Benchmark, Pair, PairSource
from bench.gate.plan import Plan, Request, make_plan
from bench.gate.stored import Gate, Store
from bench.gate.suites import train_both
from bench.gate.trees import Trees, find_sides, open_trees
from bench.machine import fingerprint as machine
from bench.machine.locks import machine_lock
from bench.watcher import Watcher

Train = Callable[[list[dict[str, Any]]], dict[str, list[dict[str, Any]]]]
STRIKES = 2  # deaths of one side at one benchmark, in fresh processes, after which it counts as failing there


def execute(request: Request, watcher: Watcher) -> tuple[Path, Gate]:
    """Measures and returns the folder and the gate. Raises `TreesError`, `GateError`, `ExperimentError`, `RecordError`
    or `LaunchError`; whatever was measured until then is in the folder.
    """
    with open_gate(request, watcher) as trees:
        return compare_trees(trees, request, watcher)


@contextlib.contextmanager
def open_gate(request: Request, watcher: Watcher) -> Iterator[Trees]:
    """Both sides of a request, with nothing else timing on this machine meanwhile. Raises as `execute` does."""
    if request.instructions:
        check_valgrind()
        if request.pytest:
            raise GateError("--instructions counts those of trials; it does not go with --pytest")
    find_sides(request.start, request.base, request.head)  # before it waits for its turn
    try:
        with (
            machine_lock(watcher.say, wait=request.wait),
            open_trees(
                request.start,
                request.base,
                request.head,
                allow_dependency_change=request.allow_dependency_change,
                packages=("pytest", "pytest-benchmark") if request.pytest else ("torch",),
            ) as trees,
        ):
            yield trees
    except BusyError as error:
        raise GateError("another measurement is running on this machine; without --no-wait this one waits") from error
    except OSError as error:
        raise GateError(f"{error.filename or 'a file'}: cannot be written or read ({error.strerror})") from error


def compare_trees(trees: Trees, request: Request, watcher: Watcher) -> tuple[Path, Gate]:
    """As `execute`, of trees that are open already."""
    started_s, seed = time.time(), random.SystemRandom().randrange(2**32)
    plan = make_plan(trees, request)
    folder = make_folder(request.results, started_s)
    logs, store = folder / "logs", Store(folder)
    logs.mkdir()
    about = {
        "base": trees.commits["base"],
        "head": trees.commits["head"],
        "dirty": trees.dirty,
        "machine": machine.fingerprint(),
        "started_s": started_s,
        "seconds": 0.0,
        "notes": plan.notes,
        "seed": seed,
        "benchmarks": [dataclasses.asdict(one) for one in plan.benchmarks],
        "pytest": request.pytest,
        "instructions": [],
    }
    gate = Gate(plan.settings, plan.base_names, [one.name for one in plan.benchmarks], [], {}, about)
    store.begin(gate)
    try:
        source = PairSource(trees, logs, plan.suite, plan.settings, random.Random(seed))
        pairs = run_gate(plan.settings, plan.compared, Recorder(source, store, watcher).measure)
        working = find_working(plan.benchmarks, pairs)
        trained = train_trials(plan, working, store, watcher, partial(train_both, trees, logs, request.data_root))
        if request.instructions:
            watcher.stage("counting", 1)
            about["instructions"] = count_instructions(trees, choose(working), logs)
            watcher.advance("instructions on either side")
    except KeyboardInterrupt:
        watcher.say(f"what was measured until here: lenet-bench gate analyse {shlex.quote(str(folder))}")
        raise
    about["seconds"] = time.time() - started_s
    gate = dataclasses.replace(gate, pairs=pairs, trained=trained)
    store.end(gate)
    with contextlib.suppress(OSError):
        logs.rmdir()  # stays if a process had something to say
    return folder, gate


def find_working(benchmarks: Sequence[Benchmark], pairs: Sequence[Pair]) -> list[Benchmark]:
    """The benchmarks that failed in no pair, on either side."""
    broken = {name for pair in pairs for names in pair.failed.values() for name in names}
    return [one for one in benchmarks if one.name not in broken]


def train_trials(
    plan: Plan, working: Sequence[Benchmark], store: Store, watcher: Watcher, train: Train
) -> dict[str, list[dict[str, Any]]]:
    """Trains what a verdict on each trial needs, but for trials none of whose benchmarks works; writes it down."""
    broken = {trial_of(one) for one in plan.benchmarks} - {trial_of(one) for one in working}
    trainings = [one for one in plan.trainings if one["name"] not in broken]
    if not trainings:
        return {}

    def train_and_write(some: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        trained = train(some)
        store.append_trained(trained)
        return trained

    watcher.stage("accuracy", 1)
    trained = run_trainings(plan.settings, trainings, train_and_write)
    watcher.advance(f"{len(trained['base'])} trainings on either side")
    return trained


def trial_of(benchmark: Benchmark) -> str:
    """The name of the trial that a benchmark times a phase of."""
    return benchmark.name.rpartition("/")[0]


def make_folder(results: Path, started_s: float) -> Path:
    """A new folder for one gate, named for the time."""
    (results / "gate").mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(started_s))
    for number in itertools.count(1):
        folder = results.resolve() / "gate" / (stamp if number == 1 else f"{stamp}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            break
    return folder


class Recorder:
    """Measures pairs until there are as many as asked for, writing each down; gives up on what keeps killing a side."""

    def __init__(self, source: PairSource, store: Store, watcher: Watcher) -> None:
        self._source, self._store, self._watcher = source, store, watcher
        self._strikes: dict[tuple[str, str], int] = {}
        self._number = 0

    def measure(self, stage: str, count: int, benchmarks: Sequence[Benchmark]) -> list[Pair]:
        """As `bench.gate.decision.Measure`: pairs in which a side died are there too, and do not count."""
        self._watcher.stage(stage, count)
        left, pairs, whole = list(benchmarks), [], 0
        while left and whole < count:
            pair = self._source.measure(stage, self._number, left)
            self._number += 1
            for side, name, cause, reason in pair.died:
                self._watcher.say(f"the {side} side died{' at ' + name if name else ' while starting'}: {reason}")
                # Silence a thousand times as long as a block is no accident, and waiting for it again would take long.
                self._strikes[side, name] = STRIKES if cause == "timeout" else self._strikes.get((side, name), 0) + 1
                if self._strikes[side, name] >= STRIKES:
                    if not name:
                        raise LaunchError(f"the {side} side died while starting, more than once: {reason}")
                    pair.failed[side][name] = reason
            whole += not pair.died
            self._store.append_pair(pair)
            pairs.append(pair)
            broken = {name for names in pair.failed.values() for name in names}
            left = [one for one in left if one.name not in broken]
            self._watcher.advance(f"pair {whole} of {count}")
        return pairs
