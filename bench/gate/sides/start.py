"""Starts one side of a gate by path: `python -P .../start.py NAME` runs `main` of the module NAME beside this file.

A side is run with `PYTHONPATH` naming the tree that is judged, so that `lenet` is the judged tree's. What is the
judge's own (the sides and, in `bench/measure`, the clock) is imported from the folder that this file lies in, under the
package name `judge`. So the judged tree may hold another `bench`, or none at all.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

BENCH = Path(__file__).resolve().parents[2]


def load(name: str) -> ModuleType:
    """A module of the judge's own bench, such as `gate.sides.channel`, as part of the package `judge`."""
    if "judge" not in sys.modules:
        package = ModuleType("judge")
        package.__path__ = [str(BENCH)]
        sys.modules["judge"] = package
    return importlib.import_module(f"judge.{name}")


if __name__ == "__main__":
    load(f"gate.sides.{sys.argv[1]}").main()
