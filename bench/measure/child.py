"""What every child process does first and says last: it dies with its parent, and tells an error in one line.

Standard library alone, so that a process can use it before it has imported what is heavy.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

Emit = Callable[[dict[str, Any]], None]

MEMORY_WORDS = ("out of memory", "allocate memory", "memoryerror", "bad_alloc", "not enough memory")
"""One of these is in what Python, torch, CUDA, glibc and C++ say when memory is used up, in small letters."""
EXPECTED = ("ChoiceError", "DataError")
"""Errors of lenet whose text says all; by name, since a judged tree has classes of its own, or none."""
LONGEST = 500  # characters of a reason


def die_with_parent() -> None:
    """Asks the kernel (Linux) to kill this process when its parent dies, so that nothing outlives a killed sweep."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG


def bind(core: int | None) -> None:
    """Keeps this process on one core, where the system can; None leaves it free."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def describe(error: BaseException) -> str:
    """An exception in one line: its type and its text, or its text alone where that was written for people."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    return (text if name in EXPECTED and text else f"{name}: {text}" if text else name)[:LONGEST]


def classify(error: BaseException) -> str:
    """One word for what went wrong: `out_of_memory` or `error`."""
    return "out_of_memory" if isinstance(error, MemoryError) or is_out_of_memory(str(error)) else "error"


def is_out_of_memory(text: str) -> bool:
    """Whether an error's text, or the last line of a log, says that memory was used up."""
    return any(words in text.lower() for words in MEMORY_WORDS)
