"""How a judged process talks to the gate: JSON lines on descriptors of their own, and blocks run on command."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, NoReturn, TextIO

from ...measure.calibration import Block, warm_up_block
from ...measure.child import Emit, die_with_parent

CONTROL = "control"


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


def obey(command: dict[str, Any], block: Block) -> dict[str, Any]:
    """`warm_up`: runs a while, answers with seconds an iteration. `block`: runs some iterations, timed. `end`: no more
    will be asked of this benchmark.
    """
    if command["kind"] == "end":
        return {"kind": "ended"}
    if command["kind"] == "warm_up":
        return {"kind": "warm", "seconds": warm_up_block(block)}
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
