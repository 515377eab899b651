"""One gate: two revisions go in; pairs are measured, journalled and judged; a folder and a decision come out.

Everything measured is in `pairs.jsonl` before the next pair begins, and the whole gate, settings and raw blocks, in
`gate.json`, from which `analyse` makes the same decision again. The rules are in `bench.gate.decision`, the clock in a
worker.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from bench.errors import BusyError, GateError, LaunchError
from bench.gate.accuracy import run_trainings
from bench.gate.decision import Decision, decide, run_gate
from bench.gate.instructions import check_valgrind, choose, count_instructions
from bench.gate.pairs import Benchmark, Pair, PairSource, Suite, TrialSuite
from bench.gate.plan import Request, list_trainings, plan
from bench.gate.settings import Settings, check_seeds, check_value, read_settings
from bench.gate.suites import PytestSuite
from bench.gate.trees import Trees, open_trees
from bench.machine import fingerprint as machine
from bench.machine.locks import machine_lock
from bench.records.journal import Journal, write_json
from bench.watcher import Watcher

SCHEMA = 1
ABOUT = {"base", "head", "dirty", "machine", "started_s", "seconds", "notes", "seed", "benchmarks"}
STRIKES = 2  # deaths of one side at one benchmark, in fresh processes, after which it counts as failing there


@dataclass(frozen=True)
class Gate:
    """A gate that ran, or was read from its file.

    **Arguments:**

    - `settings`, `pairs`, `trained`: what `bench.gate.decision.decide` needs, and `base_names`, `head_names`.
    - `about`: what was compared: `base`, `head` (commits), `dirty`, `machine`, `started_s`, `seconds`, `notes`,
      `seed`, `benchmarks`, `pytest`, `instructions`.
    """

    settings: Settings
    base_names: list[str]
    head_names: list[str]
    pairs: list[Pair]
    trained: dict[str, list[dict[str, Any]]]
    about: dict[str, Any]

    def decide(self) -> Decision:
        """The same pairs give the same decision."""
        return decide(self.settings, self.pairs, self.base_names, self.head_names, self.trained)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}


def read_gate(path: Path) -> Gate:
    """A gate from its `gate.json`, or from the folder that holds it. Raises `GateError`."""
    file = path / "gate.json" if path.is_dir() else path
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if values.pop("schema") != SCHEMA:
            raise GateError(f"{file}: of another version of the gate; this one reads schema {SCHEMA}")
        settings, pairs = Settings(**values.pop("settings")), [Pair(**pair) for pair in values.pop("pairs")]
        values.pop("decision", None)  # made anew
        if missing := ABOUT - values["about"].keys():
            raise GateError(f"{file}: not a gate's file (about: without {', '.join(sorted(missing))})")
        gate = Gate(settings=settings, pairs=pairs, **values)
        _check(gate)
        return gate
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise GateError(f"{file}: not a gate's file ({where}: {first['msg']})") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise GateError(f"{file}: not a gate's file ({' '.join(str(error).split())})") from error


@dataclass(frozen=True)
class _Training:
    name: str
    seed: int
    accuracy: Annotated[float, Field(ge=0, le=1)] | None
    reason: str = ""


@dataclass(frozen=True)
class _About:
    base: str
    head: str
    dirty: bool
    machine: dict[str, Any]
    started_s: Annotated[float, Field(ge=0, lt=1e11)]
    seconds: Annotated[float, Field(ge=0, lt=1e11)]
    notes: list[str]
    benchmarks: list[Benchmark]
    pytest: str = ""
    instructions: list[dict[str, Any]] = field(default_factory=list)


def _check(gate: Gate) -> None:
    """Raises a `ValueError` for a gate whose values could not have been measured: a damaged file fails here, in one
    line, instead of somewhere in the decision.
    """
    plain = dataclasses.asdict(gate)
    for name, value in plain["settings"].items():
        if name != "accepted":
            check_value(name, value)
    for kind, values in (
        (Settings, plain["settings"]), (list[Pair], plain["pairs"]), (list[str], gate.base_names),
        (list[str], gate.head_names), (dict[str, list[_Training]], gate.trained), (_About, gate.about),
    ):  # fmt: skip
        TypeAdapter(kind).validate_python(values)
    for pair in gate.pairs:
        if pair.failed.keys() != {"base", "head"}:
            raise ValueError("a pair's failures are of base and head")
        for name, blocks in pair.blocks.items():
            if not (1 <= pair.iterations[name] < 1e15) or any(
                len(block) < 2 or not all(1e-15 < seconds < 1e9 for seconds in block[:2]) for block in blocks
            ):
                raise ValueError(f"pair {pair.number}: {name}: not times of both sides, in seconds")


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
    started, seed = time.time(), random.SystemRandom().randrange(2**32)
    settings, notes = read_settings(trees.path("head"), request.changes)
    if trees.commits["base"] == trees.commits["head"] and not trees.dirty:
        notes.append("base and head are the same commit: whatever is found is noise")
    suite: Suite = TrialSuite()
    trainings: list[dict[str, Any]] = []
    if request.pytest:
        suite = tests = PytestSuite(request.pytest)
        benchmarks, base_names = tests.plan(trees, request.only, notes)
    else:
        experiment, benchmarks, base_names = plan(trees, request, notes)
        trainings = list_trainings(experiment, {one.name for one in benchmarks})
        if trainings:
            check_seeds(settings, len(experiment.seeds), len({one["name"] for one in trainings}))
    folder = make_folder(request.results, started)
    logs = folder / "logs"
    logs.mkdir()
    source = PairSource(
        trees,
        logs,
        alternations=settings.alternations,
        block_s=settings.block_ms / 1e3,
        limit_s=settings.limit_s,
        draw=random.Random(seed),
        suite=suite,
    )
    recorder = _Recorder(source, Journal(folder / "pairs.jsonl"), watcher)
    pairs = run_gate(settings, [one for one in benchmarks if one.name in base_names], recorder.measure)
    trained = {}
    broken = {name for pair in pairs for names in pair.failed.values() for name in names}
    working = {one.name for one in benchmarks} - broken
    trainings = [one for one in trainings if one["name"] in {name.rpartition("/")[0] for name in working}]
    if trainings:
        watcher.stage("accuracy", 1)
        trained = run_trainings(settings, trainings, lambda some: source.train(some, request.data_root))
        watcher.advance(f"{len(trained['base'])} trainings on either side")
    counted = []
    if request.instructions:
        watcher.stage("counting", 1)
        counted = count_instructions(trees, choose([one for one in benchmarks if one.name in working]), logs)
        watcher.advance("instructions on either side")
    about = {
        "base": trees.commits["base"],
        "head": trees.commits["head"],
        "dirty": trees.dirty,
        "machine": machine.fingerprint(),
        "started_s": started,
        "seconds": time.time() - started,
        "notes": notes,
        "seed": seed,
        "benchmarks": [dataclasses.asdict(one) for one in benchmarks],
        "pytest": request.pytest,
        "instructions": counted,
    }
    gate = Gate(settings, base_names, [one.name for one in benchmarks], pairs, trained, about)
    write_json(folder / "gate.json", gate.to_dict())
    with contextlib.suppress(OSError):
        logs.rmdir()  # stays if a process had something to say
    return folder, gate


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


class _Recorder:
    """Measures pairs until there are as many as asked for, writing each down; gives up on what keeps killing a side."""

    def __init__(self, source: PairSource, journal: Journal, watcher: Watcher) -> None:
        self._source, self._journal, self._watcher = source, journal, watcher
        self._strikes: dict[tuple[str, str], int] = {}
        self._number = 0

    def measure(self, stage: str, count: int, benchmarks: Sequence[Benchmark]) -> list[Pair]:
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
            self._journal.append(dataclasses.asdict(pair))
            pairs.append(pair)
            broken = {name for names in pair.failed.values() for name in names}
            left = [one for one in left if one.name not in broken]
            self._watcher.advance(f"pair {whole} of {count}")
        return pairs
