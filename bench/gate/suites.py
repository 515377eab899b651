"""What a gate can run on both sides: phases of trials, or the tests of a suite written for pytest-benchmark.

A `Suite` of `bench.gate.pairs` says which module of `sides/` runs in the judged process, what it is told, and in which
order. No torch and no pytest is imported here: both are the judged process's.
"""

from __future__ import annotations

import contextlib
import importlib.util
import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.errors import GateError, LaunchError
from bench.gate.pairs import Benchmark, side_command, side_environment
from bench.gate.settings import fits
from bench.gate.sides.channel import CONTROL
from bench.gate.trees import SIDES, Trees
from bench.machine.logs import read_tail
from bench.machine.processes import START_LIMIT_S, WorkerProcess
from lenet.variant import nearest

TRIAL_SIDE = "trial_side"


class TrialSuite:
    """Phases of trials, in a new random order each pair."""

    module = TRIAL_SIDE
    begin_limit_s = 0.0  # nothing beyond what any block may take

    def describe(self, link: Path, benchmarks: Iterable[Benchmark]) -> dict[str, Any]:
        """One thread, and each benchmark whole."""
        return {
            "threads": 1,
            "benchmarks": [{"name": b.name, "phase": b.phase, "trial": b.trial} for b in benchmarks],
        }

    def order(self, names: Sequence[str], draw: random.Random) -> list[str]:
        """Any: they are all built before the first is run."""
        return draw.sample([CONTROL, *names], len(names) + 1)


class PytestSuite:
    """Tests that use the fixture `benchmark`, run in the order in which pytest collects them.

    **Arguments:**

    - `path`: a file or folder of tests, relative to the checkout.
    """

    module = "pytest_side"
    begin_limit_s = START_LIMIT_S  # a test's fixtures may read data, start servers, ...

    def __init__(self, path: str) -> None:
        self.path = path

    def describe(self, link: Path, benchmarks: Iterable[Benchmark]) -> dict[str, Any]:
        """Where to run pytest, and the tests' names."""
        return {"link": str(link), "path": self.path, "benchmarks": [one.name for one in benchmarks]}

    def order(self, names: Sequence[str], draw: random.Random) -> list[str]:
        """As collected, since tests may share fixtures; the control comes anywhere."""
        place = draw.randrange(len(names) + 1)
        return [*names[:place], CONTROL, *names[place:]]

    def plan(self, trees: Trees, only: Sequence[str], notes: list[str]) -> tuple[list[Benchmark], list[str]]:
        """Head's benchmarks, and the names that base has. What a side has but cannot import there counts as its own, so
        that it fails by name. Adds to `notes` what cannot be imported at all. Raises `GateError`.
        """
        if importlib.util.find_spec("pytest") is None:
            raise GateError("--pytest needs pytest in this environment: pip install pytest-benchmark")
        collected = {side: self._collect(trees, side) for side in SIDES}
        names = {side: list(found["names"]) for side, found in collected.items()}
        for side, other in (SIDES, SIDES[::-1]):
            for place, reason in collected[side]["errors"].items():
                hidden = [one for one in collected[other]["names"] if _lies_in(one, place) and one not in names[side]]
                names[side] += hidden
                if not hidden:
                    notes.append(f"{place}: cannot be collected on {side}: {reason}")
        chosen = {
            side: [one for one in found if not only or any(fits(one, pattern) for pattern in only)]
            for side, found in names.items()
        }
        if not names["head"]:
            raise GateError(f"--pytest {self.path}: no test there uses the fixture `benchmark`")
        if not chosen["head"]:
            raise GateError(f"--only {' '.join(only)}: fits no benchmark; {nearest(str(only[0]), names['head'])}")
        return [Benchmark(one) for one in chosen["head"]], chosen["base"]

    def _collect(self, trees: Trees, side: str) -> dict[str, Any]:
        """Names of a side's benchmarks, and why what could not be collected there could not."""
        if not (trees.path(side) / self.path.partition("::")[0]).exists():
            if side == "base":
                return {"names": [], "errors": {}}
            raise GateError(f"--pytest {self.path}: not in the head; it is a path relative to the checkout")
        link, log = trees.link(side, "base"), trees.folder / f"collect-{side}.log"
        task = {"kind": "collect", "tree": str(trees.path(side)), **self.describe(link, [])}
        with WorkerProcess(task, side_environment(link, 0), log, side_command(trees, side, self.module)) as process:
            message = process.receive(START_LIMIT_S)
            if message is None:
                assert process.failure is not None
                reason = _find_error(read_tail(log)) or process.failure[1]
                raise GateError(f"--pytest {self.path}: cannot be collected on {side}: {reason}")
        return message


def _find_error(log: str) -> str:
    """The line in which pytest says why it did not start, or "": its last line is something else."""
    for mark in (r"^E +(.*)", r"error: (.*)", r"^ERROR: (.*)"):
        if found := re.search(mark, log, re.MULTILINE):
            return found[1]
    return ""


def _lies_in(name: str, place: str) -> bool:
    """Whether a test's name lies in a folder, file or class that pytest names so."""
    return name.startswith((f"{place}::", f"{place}/"))


def train_both(
    trees: Trees, logs: Path, data_root: Path, trainings: list[dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Trains the same trials and seeds on both sides, at the same time. Raises `LaunchError` if a side dies.

    **Arguments:**

    - `trainings`: `name`, `seed` and `trial` (as of `Trial.to_dict()`) of each.

    **Returns:** by side, what `sides/trial_side.py` says of each: `name`, `seed`, `accuracy`, `reason`.
    """
    task = {"kind": "train", "threads": 1, "data_root": str(data_root), "trainings": trainings}
    with contextlib.ExitStack() as stack:
        sides = {}
        for side in SIDES:
            environment = side_environment(trees.link(side, "base"), 0)
            command, log = side_command(trees, side, TRIAL_SIDE), logs / f"train-{side}.log"
            process = WorkerProcess({**task, "tree": str(trees.path(side))}, environment, log, command)
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
