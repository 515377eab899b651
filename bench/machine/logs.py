"""The files that hold a child's standard error: where they end, their last lines, and removing the empty ones."""

from __future__ import annotations

import contextlib
from pathlib import Path


def log_size(path: Path) -> int:
    """Where a log ends that others may have written to before."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def read_tail(path: Path, start: int = 0) -> str:
    """The last 4 KiB of a log, of what was written from `start` on."""
    try:
        with path.open("rb") as file:
            file.seek(max(start, path.stat().st_size - 4096))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def discard_if_empty(log: Path) -> None:
    """Removes the log of a worker that had nothing to say."""
    with contextlib.suppress(OSError):
        if log.stat().st_size == 0:
            log.unlink()
