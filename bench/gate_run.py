"""One gate: two revisions go in; pairs are measured, journalled and judged; a folder and a decision come out.

Everything measured is in `pairs.jsonl` before the next pair begins, and the whole gate, settings and raw blocks, in
`gate.json`, from which `analyse` makes the same decision again. The rules are in `bench.gate`, the clock in a worker.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import random
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import machine
from bench.experiment import Experiment, read_experiment
from bench.gate import Decision, GateError, Settings, decide, fits, run_gate
from bench.launch import LaunchError
from bench.pairs import Benchmark, Pair, PairSource, Suite, TrialSuite
from bench.pytest_suite import PytestSuite
from bench.record import Journal, write_json
from bench.runner import check_devices, machine_lock
from bench.timing_stage import Watcher
from bench.trees import Trees, open_trees
from lenet.variant import nearest

SCHEMA = 1
EXPERIMENT = Path("experiments") / "gate.toml"
STRIKES = 2  # deaths of one side at one benchmark, in fresh processes, after which it counts as failing there


@dataclass(frozen=True)
class Request:
    """What to compare.

    **Arguments:**

    - `start`: a folder in the checkout. `base`, `head`: as in `bench.trees.open_trees`.
    - `experiment`: the benchmarks' file, relative to the checkout.
    - `pytest`: a file or folder of tests to take the benchmarks from instead; then nothing is trained, and the
      checkout need not hold a network at all.
    - `only`: patterns of benchmark names; empty: all.
    - `results`: the gate's folder is made below it. `data_root`: where the accuracy's data are.
    - `wait`: whether to wait for another measurement on this machine to end.
    - `changes`: settings given on the command line; they go before those of the head's pyproject.toml.
    """

    start: Path
    base: str | None
    head: str
    results: Path
    data_root: Path
    experiment: Path = EXPERIMENT
    pytest: str = ""
    only: Sequence[str] = ()
    wait: bool = True
    allow_dependency_change: bool = False
    changes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Gate:
    """A gate that ran, or was read from its file.

    **Arguments:**

    - `settings`, `pairs`, `trained`: what `bench.gate.decide` needs, and `base_names`, `head_names`.
    - `about`: what was compared: `base`, `head` (commits), `dirty`, `machine`, `started_s`, `seconds`, `notes`,
      `seed`, `benchmarks`, `pytest`.
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
        return Gate(settings=settings, pairs=pairs, **values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise GateError(f"{file}: not a gate's file ({' '.join(str(error).split())})") from error


def execute(request: Request, watcher: Watcher) -> tuple[Path, Gate]:
    """Measures and returns the folder and the gate. Raises `TreesError`, `GateError`, `ExperimentError`, `RecordError`
    or `LaunchError`; whatever was measured until then is in the folder.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(machine_lock(watcher, wait=request.wait))
        except BlockingIOError as error:
            raise GateError(
                "another measurement is running on this machine; without --no-wait this one waits"
            ) from error
        trees = stack.enter_context(
            open_trees(
                request.start,
                request.base,
                request.head,
                allow_dependency_change=request.allow_dependency_change,
                packages=("pytest", "pytest-benchmark") if request.pytest else ("torch",),
            )
        )
        started, seed = time.time(), random.SystemRandom().randrange(2**32)
        settings, notes = read_settings(trees.path("head"), request.changes)
        suite: Suite = TrialSuite()
        experiment = None
        if request.pytest:
            suite = tests = PytestSuite(request.pytest)
            benchmarks, base_names = tests.plan(trees, request.only, notes)
        else:
            experiment, benchmarks, base_names = plan(trees, request, notes)
        folder = request.results.resolve() / "gate" / time.strftime("%Y%m%d-%H%M%S", time.localtime(started))
        logs = folder / "logs"
        logs.mkdir(parents=True)
        source = PairSource(
            trees,
            logs,
            alternations=settings.alternations,
            block_s=settings.block_ms / 1e3,
            draw=random.Random(seed),
            suite=suite,
        )
        recorder = _Recorder(source, Journal(folder / "pairs.jsonl"), watcher)
        pairs = run_gate(settings, [one for one in benchmarks if one.name in base_names], recorder.measure)
        trained = _train(experiment, request, source, watcher) if experiment else {}
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
        }
        gate = Gate(settings, base_names, [one.name for one in benchmarks], pairs, trained, about)
        write_json(folder / "gate.json", gate.to_dict())
        with contextlib.suppress(OSError):
            logs.rmdir()  # stays if a process had something to say
        return folder, gate


def read_settings(tree: Path, changes: dict[str, Any]) -> tuple[Settings, list[str]]:
    """`[tool.lenet-bench.gate]` of a tree's pyproject.toml, overlaid by `changes`; and what a reader must know of it.

    `accepted` is a list of tables: `benchmark` (name or pattern), `reason`, `until` (a date, after which it is void).
    Raises `GateError` for unknown keys and for values of the wrong kind.
    """
    file = tree / "pyproject.toml"
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except tomllib.TOMLDecodeError as error:
        raise GateError(f"pyproject.toml: not TOML: {error}") from error
    values: dict[str, Any] = dict(content.get("tool", {}).get("lenet-bench", {}).get("gate", {}))
    known = {one.name: type(one.default) for one in dataclasses.fields(Settings)}
    notes, accepted = [], {}
    for entry in values.pop("accepted", []):
        if not isinstance(entry, dict) or set(entry) != {"benchmark", "reason", "until"}:
            raise GateError(f"[tool.lenet-bench.gate] accepted: {entry!r} needs benchmark, reason and until (a date)")
        if not isinstance(entry["until"], datetime.date):
            raise GateError(
                f"[tool.lenet-bench.gate] accepted: until = {entry['until']!r} is not a date like 2026-12-31"
            )
        if entry["until"] < datetime.date.today():
            notes.append(f"accepted entry for {entry['benchmark']} is void since {entry['until']}")
        else:
            accepted[entry["benchmark"]] = f"{entry['reason']} (until {entry['until']})"
    for name, value in (values := {**values, **changes}).items():
        if name not in known:
            raise GateError(f"[tool.lenet-bench.gate]: unknown key '{name}'; {nearest(name, known)}")
        if name in ("floors", "tolerances"):
            right = isinstance(value, dict) and all(isinstance(one, float | int) for one in value.values())
        else:
            right = isinstance(value, bool) == (known[name] is bool) and isinstance(value, float | int) and value >= 0
        if not right:
            raise GateError(f"[tool.lenet-bench.gate] {name}: {value!r} is not what it takes")
    return Settings(**{**values, "accepted": accepted}), notes


def plan(trees: Trees, request: Request, notes: list[str]) -> tuple[Experiment, list[Benchmark], list[str]]:
    """Head's experiment and benchmarks, and the names that base's file asks for. Adds to `notes` what is left out."""
    file = trees.path("head") / request.experiment
    if not file.is_file():
        raise GateError(f"{request.experiment}: not in the head; it names the benchmarks, see experiments/gate.toml")
    experiment = read_experiment(file)
    if experiment.extensions:
        raise GateError(f"{request.experiment}: extensions cannot be gated; compare what they register with `run`")
    reason = check_devices(experiment)
    if reason:
        notes.append(f"benchmarks on cuda are left out: {reason}")
    benchmarks = [
        one for one in list_benchmarks(experiment) if not (reason and one.trial["placement"]["device"] == "cuda")
    ]
    chosen = [one for one in benchmarks if _is_chosen(one.name, request.only)]
    if not chosen:
        names = [one.name for one in benchmarks]
        raise GateError(f"--only {' '.join(request.only)}: fits no benchmark; {nearest(str(request.only[0]), names)}")
    older = trees.path("base") / request.experiment
    if not older.is_file():
        notes.append(f"base has no {request.experiment}: head's benchmarks are taken for both, removed ones go unseen")
        return experiment, chosen, [one.name for one in chosen]
    # Equal names of unequal trials are no comparison: such a benchmark is removed and a new one of its name added.
    asked = {(one.name, json.dumps(one.trial, sort_keys=True)) for one in chosen}
    skipped = {one.name for one in list_benchmarks(experiment)} - {one.name for one in benchmarks}
    names = []
    for one in list_benchmarks(read_experiment(older)):
        if one.name in skipped or not _is_chosen(one.name, request.only):
            continue
        same_name = any(one.name == name for name, _ in asked)
        if same_name and (one.name, json.dumps(one.trial, sort_keys=True)) not in asked:
            notes.append(f"{one.name}: asks for something else in head than in base; not compared")
        else:
            names.append(one.name)
    return experiment, chosen, names


def _is_chosen(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fits(name, pattern) for pattern in patterns)


def list_benchmarks(experiment: Experiment) -> list[Benchmark]:
    """Each phase of each trial."""
    return [
        Benchmark(f"{named.name}/{phase}", phase, named.trial.to_dict())
        for named in experiment.trials
        for phase in experiment.timing.phases
    ]


class _Recorder:
    """Measures pairs until there are as many as asked for, writing each down; gives up on what keeps killing a side."""

    def __init__(self, source: PairSource, journal: Journal, watcher: Watcher) -> None:
        self._source, self._journal, self._watcher = source, journal, watcher
        self._strikes: dict[tuple[str, str], int] = {}
        self._number = 0

    def measure(self, stage: str, count: int, benchmarks: Sequence[Benchmark]) -> list[Pair]:
        self._watcher.stage(stage, count)
        left, pairs, whole = list(benchmarks), [], 0
        while whole < count:
            pair = self._source.measure(stage, self._number, left)
            self._number += 1
            if pair.died:
                side, name, reason = pair.died
                self._watcher.say(f"the {side} side died{' at ' + name if name else ''}: {reason}")
                self._strikes[side, name] = self._strikes.get((side, name), 0) + 1
                if self._strikes[side, name] >= STRIKES:
                    if not name:
                        raise LaunchError(f"the {side} side died twice before anything was measured: {reason}")
                    pair.failed[side][name] = reason
            else:
                whole += 1
            self._journal.append(dataclasses.asdict(pair))
            pairs.append(pair)
            broken = {name for names in pair.failed.values() for name in names}
            left = [one for one in left if one.name not in broken]
            self._watcher.advance(f"pair {whole} of {count}")
        return pairs


def _train(
    experiment: Experiment, request: Request, source: PairSource, watcher: Watcher
) -> dict[str, list[dict[str, Any]]]:
    """Trains every trial on real data with every seed, on both sides."""
    trainings = [
        {"name": named.name, "seed": seed, "trial": named.trial.to_dict()}
        for named in experiment.trials
        if named.trial.recipe.data != "synthetic"
        and named.trial.placement.device == "cpu"
        and any(_is_chosen(f"{named.name}/{phase}", request.only) for phase in experiment.timing.phases)
        for seed in experiment.seeds
    ]
    if not trainings:
        return {}
    watcher.stage("accuracy", 1)
    trained = source.train(trainings, request.data_root)
    watcher.advance(f"{len(trainings)} trainings on either side")
    return trained
