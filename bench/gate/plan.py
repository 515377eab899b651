"""What one gate shall compare: the request, and the benchmarks and trainings that follow from it."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import GateError
from bench.experiment.experiment import Experiment
from bench.experiment.file import read_experiment
from bench.gate.pairs import Benchmark
from bench.gate.settings import fits
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


def plan(trees: Trees, request: Request, notes: list[str]) -> tuple[Experiment, list[Benchmark], list[str]]:
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


def list_trainings(experiment: Experiment, names: Collection[str]) -> list[dict[str, Any]]:
    """Every trial on real data among the named benchmarks, with every seed, as `PairSource.train` takes them."""
    return [
        {"name": named.name, "seed": seed, "trial": named.trial.to_dict()}
        for named in experiment.trials
        if named.trial.recipe.data != "synthetic"
        and named.trial.placement.device == "cpu"
        and any(f"{named.name}/{phase}" in names for phase in experiment.timing.phases)
        for seed in experiment.seeds
    ]
