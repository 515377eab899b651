"""How a judged process talks to the gate: JSON lines on descriptors of their own, and blocks run on command."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NoReturn, TextIO

from ...measure.child import die_with_parent

CONTROL = "control"
WARM_UP_S = 0.05
Block = Callable[[int], tuple[float, float]]
Emit = Callable[[dict[str, Any]], None]


def open_channel() -> tuple[TextIO, Emit]:
    """Commands from and results to the parent, on descriptors of their own: what the judged code prints goes to
    standard error and cannot damage a line, and what it reads from standard input is empty.
    """
    die_with_parent()
    commands, results = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w", buffering=1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)

    def emit(message: dict[str, Any]) -> None:
        results.write(json.dumps(message, allow_nan=False) + "\n")
        results.flush()

    return commands, emit


def leave(code: int) -> NoReturn:
    """Ends this process at once: an interpreter that holds torch takes seconds to go, and nothing is left to do."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def bind(core: int | None) -> None:
    """Keeps this process on one core, where the system can."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def obey(command: dict[str, Any], block: Block) -> dict[str, Any]:
    """`warm_up`: runs a while, answers with seconds an iteration. `block`: runs some iterations, timed. `end`: no more
    will be asked of this benchmark.
    """
    if command["kind"] == "end":
        return {"kind": "ended"}
    if command["kind"] == "warm_up":
        started, iterations, each = time.perf_counter(), 1, 0.0
        while time.perf_counter() - started < WARM_UP_S:
            each = block(iterations)[0] / iterations
            iterations = min(2 * iterations, 1_000)
        return {"kind": "warm", "seconds": each}
    if command["iterations"] > 1:  # a call as long as a block hardly notices
        block(1)  # brings this process's own weights and code back into the caches; untimed
    seconds, cpu_s = block(command["iterations"])
    return {"kind": "block", "seconds": seconds, "cpu_seconds": cpu_s}


def check_origin(tree: Path, packages: Collection[str] = ("lenet",)) -> None:
    """Raises unless every part of the judged packages that is loaded lies in the judged tree."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in packages and getattr(module, "__file__", None):
            file = Path(str(module.__file__)).resolve()
            if not file.is_relative_to(tree.resolve()):
                raise RuntimeError(f"{name} was imported from {file}, not from {tree.resolve()}")


def time_calls(call: Callable[[], object]) -> Block:
    """A block that is timed as a whole, so that the clock's own cost vanishes in it."""

    def block(iterations: int) -> tuple[float, float]:
        cpu_started, started = time.process_time(), time.perf_counter()
        for _ in range(iterations):
            call()
        return time.perf_counter() - started, time.process_time() - cpu_started

    return block


def describe(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]
