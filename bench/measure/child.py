"""What every child process does first and says last: it dies with its parent, and tells an error in one line."""

from __future__ import annotations

import ctypes
import signal
import sys
from collections.abc import Callable
from typing import Any

Emit = Callable[[dict[str, Any]], None]


def die_with_parent() -> None:
    """Asks the kernel (Linux) to kill this process when its parent dies, so that nothing outlives a killed sweep."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG


def describe(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    expected = name in ("ChoiceError", "DataError")
    return (text if expected and text else f"{name}: {text}" if text else name)[:500]


def classify(error: BaseException) -> str:
    """One word for what went wrong: `out_of_memory` or `error`."""
    text = str(error).lower()
    memory = isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text
    return "out_of_memory" if memory else "error"
