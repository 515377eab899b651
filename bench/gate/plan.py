"""What one gate compares: what a person asked for, and the plan that follows from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import GateError
from bench.experiment.experiment import Experiment
from bench.experiment.file import read_experiment
from bench.gate.pairs import Benchmark, Suite
from bench.gate.settings import Settings, check_seeds, fits, read_settings
from bench.gate.suites import PytestSuite, TrialSuite
from bench.gate.trees import Trees
from bench.machine.devices import check_devices
from lenet.variant import nearest

EXPERIMENT = Path("experiments") / "gate.toml"


@dataclass(frozen=True)
class Request:
    """What to compare.

    **Arguments:**

    - `start`: a folder in the checkout. `base`, `head`: as in `bench.gate.trees.open_trees`.
    - `experiment`: the benchmarks' file, relative to the checkout.
    - `pytest`: a file or folder of tests to take the benchmarks from instead; then nothing is trained, and the
      checkout need not hold a network at all.
    - `only`: patterns of benchmark names; empty: all.
    - `results`: the gate's folder is made below it. `data_root`: where the accuracy's data are.
    - `instructions`: whether to count instructions too, which takes minutes.
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
    instructions: bool = False
    changes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What will be measured.

    **Arguments:**

    - `benchmarks`: head's. `base_names`: of those that base asks for.
    - `trainings`: `name`, `seed` and `trial` of each, as `bench.gate.suites.train_both` takes them.
    - `notes`: what was left out, and what else a reader must know.
    """

    settings: Settings
    suite: Suite
    benchmarks: list[Benchmark]
    base_names: list[str]
    trainings: list[dict[str, Any]]
    notes: list[str]

    @property
    def compared(self) -> list[Benchmark]:
        """The benchmarks that both sides have."""
        return [one for one in self.benchmarks if one.name in self.base_names]


def make_plan(trees: Trees, request: Request) -> Plan:
    """Reads settings and benchmarks from the trees. Raises `GateError` or `ExperimentError`."""
    settings, notes = read_settings(trees.path("head"), request.changes)
    if trees.commits["base"] == trees.commits["head"] and not trees.dirty:
        notes.append("base and head are the same commit: whatever is found is noise")
    if request.pytest:
        suite = PytestSuite(request.pytest)
        benchmarks, base_names = suite.plan(trees, request.only, notes)
        return Plan(settings, suite, benchmarks, base_names, [], notes)
    experiment, benchmarks, base_names = plan_trials(trees, request, notes)
    trainings = [
        one for one in list_trainings(experiment) if _is_chosen_with_a_phase(one["name"], experiment, request.only)
    ]
    if trainings:
        check_seeds(settings, len(experiment.seeds), len({one["name"] for one in trainings}))
    return Plan(settings, TrialSuite(), benchmarks, base_names, trainings, notes)


def plan_trials(trees: Trees, request: Request, notes: list[str]) -> tuple[Experiment, list[Benchmark], list[str]]:
    """Head's experiment and benchmarks, and the names that base's file asks for. Adds to `notes` what is left out."""
    file = trees.path("head") / request.experiment
    if not file.is_file():
        raise GateError(f"{request.experiment}: not in the head; it names the benchmarks, see experiments/gate.toml")
    experiment = read_experiment(file)
    if experiment.extensions:
        raise GateError(f"{request.experiment}: extensions cannot be gated; compare what they register with `run`")
    reason = check_devices(named.trial.placement.device for named in experiment.trials)
    if reason:
        notes.append(f"benchmarks on cuda are left out: {reason}")
    benchmarks = [
        one for one in list_benchmarks(experiment) if not (reason and one.trial["placement"]["device"] == "cuda")
    ]
    if not benchmarks:
        raise GateError(f"{request.experiment}: nothing in it can be timed here{f': {reason}' if reason else ''}")
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


def _is_chosen_with_a_phase(trial: str, experiment: Experiment, patterns: Sequence[str]) -> bool:
    return any(_is_chosen(f"{trial}/{phase}", patterns) for phase in experiment.timing.phases)


def list_benchmarks(experiment: Experiment) -> list[Benchmark]:
    """Each phase of each network; methods that are none have no phases."""
    return [
        Benchmark(f"{named.name}/{phase}", phase, named.trial.to_dict())
        for named in experiment.trials
        if named.trial.variant.is_network
        for phase in experiment.timing.phases
    ]


def list_trainings(experiment: Experiment) -> list[dict[str, Any]]:
    """Every trial on real data that runs on the CPU, with every seed; methods that are no network too."""
    return [
        {"name": named.name, "seed": seed, "trial": named.trial.to_dict()}
        for named in experiment.trials
        if named.trial.recipe.data != "synthetic" and named.trial.placement.device == "cpu"
        for seed in experiment.seeds
    ]
