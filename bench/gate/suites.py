"""A suite written for pytest-benchmark, as the gate sees it: which tests either side has, and how a pair runs them.

Two trees and a path go in, benchmarks come out. It imports no pytest: what runs the tests is `sides/pytest_side.py`, in
another process, started by path.
"""

from __future__ import annotations

import importlib.util
import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.errors import GateError
from bench.gate.pairs import CONTROL, Benchmark, side_command, side_environment
from bench.gate.settings import fits
from bench.gate.trees import SIDES, Trees
from bench.machine.logs import read_tail
from bench.machine.processes import START_LIMIT_S, WorkerProcess
from lenet.variant import nearest


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
