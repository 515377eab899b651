"""One side of a pair that runs tests written with the `benchmark` fixture of pytest-benchmark.

Started by path, as `channel.py` is, and speaking its language: one JSON task on standard input, then commands. It
runs pytest on the judged tree and goes through its tests as it is told; in a test, `benchmark` times nothing by itself
but obeys until it is told to end. pytest-benchmark need not be installed; where it is, its options are read, no more.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import random
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TextIO

import pytest

from ...measure.calibration import Block, time_calls
from ...measure.child import Emit, bind, describe
from ...measure.garbage import quiet_collector
from . import channel

DISTURBING = ("benchmark", "timeout", "randomly")
"""Plug-ins that may read their options but not act: they would time, order or end the tests themselves."""
SWITCHES = {"xdist": ["-n0", "--dist=no"], "pytest_cov": ["--no-cov"]}
"""Options that keep a plug-in quiet where it is installed: tests run in this process, and untraced."""


def main() -> None:
    """Runs pytest in the judged tree until the parent has asked for everything."""
    commands, emit = channel.open_channel()
    task = json.loads(commands.readline())
    os.chdir(task["link"])
    side = Side(task, commands, emit)
    code = int(pytest.main(arguments(task), plugins=[side]))
    if not side.has_failed and code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        sys.stdout.flush()
        os.ftruncate(2, 0)  # what pytest prints of tests that pass is nothing to keep
    channel.leave(0 if side.was_reached else code)


def arguments(task: Mapping[str, Any]) -> list[str]:
    """pytest's command line: the suite's own settings hold, but nothing may end, split or trace the run, and its
    temporary files go with the trees.
    """
    loaded = set() if os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD") else {
        entry.name for entry in importlib.metadata.entry_points(group="pytest11")
    }  # fmt: skip
    switches = [switch for name, options in SWITCHES.items() if name in loaded for switch in options]
    link = task["link"]
    return [
        "-q",
        "--maxfail=0",
        *switches,
        f"--rootdir={link}",
        f"--basetemp={link}-temporary",
        f"{link}/{task['path']}",
    ]


class Side:
    """The plug-in: it collects, says what there is, and runs one test after the other when it is told to."""

    def __init__(self, task: Mapping[str, Any], commands: TextIO, emit: Emit) -> None:
        self._task, self._commands, self._emit = task, commands, emit
        self._errors: dict[str, str] = {}
        self._begin: dict[str, Any] = {}
        self._failure, self._ended = "", False
        self.was_reached, self.has_failed = False, False

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Registers the fixture here, after all other plug-ins: among fixtures of one name the last wins."""
        for name in DISTURBING:
            if (plugin := config.pluginmanager.get_plugin(name)) is not None:
                config.pluginmanager.unregister(plugin)
        config.pluginmanager.register(Fixtures(self), "lenet-bench-fixtures")
        config.addinivalue_line("markers", "benchmark: how pytest-benchmark runs a benchmark")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keeps why a file could not be collected."""
        if report.failed:
            self._errors[report.nodeid] = str(report.longrepr).strip().splitlines()[-1].removeprefix("E").strip()[:300]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In place of pytest's own loop: the parent says which test is next."""
        self.was_reached = True
        items = {item.nodeid: item for item in session.items if "benchmark" in getattr(item, "fixturenames", ())}
        if self._task["kind"] == "collect":
            self._emit({"kind": "collected", "names": list(items), "errors": self._errors})
            return True
        try:
            self.check_origin()
        except RuntimeError as error:
            self._emit({"kind": "broken", "reason": str(error)})
            return True
        bind(self._task["core"])
        absent = {name: self._explain(name) for name in self._task["benchmarks"] if name not in items}
        self._emit({"kind": "ready", "failed": absent})
        control = control_block()
        while line := self._commands.readline():
            self._begin = json.loads(line)
            if self._begin["benchmark"] == channel.CONTROL:
                self.serve(control)
                self._emit({"kind": "ended"})
            else:
                self._run(items[self._begin["benchmark"]], items.get(self._begin["following"]))
        return True

    def _explain(self, name: str) -> str:
        """Why a test is not here: its file, or a folder above it, could not be collected."""
        reasons = [reason for place, reason in self._errors.items() if name.startswith((f"{place}::", f"{place}/"))]
        return reasons[0] if reasons else "no such test was collected"

    def _run(self, item: pytest.Item, following: pytest.Item | None) -> None:
        """One test. Its failure is the answer to whatever command it failed at."""
        self._failure, self._ended = "", False
        seed_generators(f"{self._task['seed']} {item.nodeid}")
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if not self._failure and not self._ended:
            self._failure = "the test ended without running `benchmark` to its end"
        self.has_failed |= bool(self._failure)
        self._emit({"kind": "failed", "reason": self._failure} if self._failure else {"kind": "ended"})

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> None:
        """Keeps the first thing that went wrong in a test, its set-up or its teardown."""
        if call.excinfo is not None and not self._failure:
            self._failure = describe(call.excinfo.value)

    def serve(self, block: Block, cost: Callable[[], float] | None = None) -> None:
        """Obeys until the parent has had enough of this benchmark.

        **Arguments:**

        - `cost`: runs the benchmark once and returns the seconds that it takes in all, if not all of them are timed.
        """
        command = self._begin
        with quiet_collector():
            while command["kind"] != "end":
                answer = channel.obey(command, block)
                if cost is not None and command["kind"] == "warm_up":
                    answer["seconds"] = max(answer["seconds"], cost())
                self._emit(answer)
                command = json.loads(self._commands.readline())
        self._ended = True

    def check_origin(self) -> None:
        """Raises unless what is loaded of the judged packages lies in the judged tree, not where it is installed."""
        tree = Path(self._task["tree"])
        entries = [entry for root in (tree, tree / "src") if root.is_dir() for entry in root.iterdir()]
        names = {entry.stem for entry in entries if entry.suffix == ".py" or (entry / "__init__.py").is_file()}
        channel.check_origin(tree, names - sys.stdlib_module_names)


class Fixtures:
    """What tests ask for by name."""

    def __init__(self, side: Side) -> None:
        self._side = side

    @pytest.fixture
    def benchmark(self, request: pytest.FixtureRequest) -> BenchmarkFixture:
        """The `benchmark` of pytest-benchmark, obedient."""
        return BenchmarkFixture(request.node, self._side)

    @pytest.fixture
    def benchmark_weave(self, benchmark: BenchmarkFixture) -> Callable[..., NoReturn]:
        """A fixture of its own in pytest-benchmark."""
        return benchmark.weave


class BenchmarkFixture:
    """Stands in for the fixture of pytest-benchmark: the same calls, while the parent decides how often and when.

    A benchmark is run as often as the parent asks; `rounds`, `warmup_rounds` and `iterations` are not heeded. `stats`
    is None, as where pytest-benchmark is disabled.
    """

    enabled, disabled, stats = True, False, None

    def __init__(self, node: Any, side: Side) -> None:
        self._side, self._used = side, False
        marker = node.get_closest_marker("benchmark")
        self.name, self.fullname = node.name, node.nodeid
        self.group = marker.kwargs.get("group") if marker else None
        callspec = getattr(node, "callspec", None)
        self.param: str | None = callspec.id if callspec else None
        self.params: dict[str, Any] | None = callspec.params if callspec else None
        self.extra_info: dict[str, Any] = {}

    def __call__(self, function_to_benchmark: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Times `function_to_benchmark(*args, **kwargs)` and returns what it returns."""
        return self.pedantic(function_to_benchmark, args, kwargs)

    def pedantic(
        self,
        target: Callable[..., Any],
        args: Any = (),
        kwargs: Mapping[str, Any] | None = None,
        setup: Callable[[], Any] | None = None,
        teardown: Callable[..., Any] | None = None,
        rounds: int = 1,
        warmup_rounds: int = 0,
        iterations: int = 1,
    ) -> Any:
        """Times `target` and returns what it returns. `setup` and `teardown` run around every call, untimed; what
        `setup` returns, if anything, is `args` and `kwargs`.
        """
        if self._used:
            raise RuntimeError("benchmark: it was used before in this test; one test times one thing")
        self._used = True
        self._side.check_origin()
        kwargs = kwargs or {}
        if setup is None and teardown is None:
            self._side.serve(time_calls(partial(target, *args, **kwargs)))
            return target(*args, **kwargs)

        def call() -> tuple[float, float, Any]:
            given = (setup() if setup else None) or (args, kwargs)
            cpu_started, started = time.process_time(), time.perf_counter()
            result = target(*given[0], **given[1])
            seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
            if teardown:
                teardown(*given[0], **given[1])
            return seconds, cpu_s, result

        def block(iterations: int) -> tuple[float, float]:
            seconds = cpu_s = 0.0
            for _ in range(iterations):
                one, cpu_one, _result = call()
                seconds, cpu_s = seconds + one, cpu_s + cpu_one
            return seconds, cpu_s

        def cost() -> float:
            started = time.perf_counter()
            call()
            return time.perf_counter() - started

        self._side.serve(block, cost)
        return call()[2]

    def weave(self, *_: Any, **__: Any) -> NoReturn:
        """Raises: what it would time is called by others, and not by the parent's clock."""
        raise NotImplementedError(
            "benchmark.weave cannot be gated: it times calls that others make; use benchmark(...)"
        )

    patch = weave


def control_block() -> Block:
    """Work that no repository changes: a sort, a loop of plain Python and a copy of memory. Needs no package."""
    numbers, memory = random.Random(0).sample(range(2_000), 2_000), bytearray(1 << 18)

    def work() -> None:
        bytes(memory)
        total = 0
        for number in sorted(numbers):
            total += number

    return time_calls(work)


def seed_generators(seed: str) -> None:
    """Both sides of a pair draw the same random inputs, where a test does not seed its own."""
    random.seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(random.getrandbits(32))
