"""File locks: of a run's folder, of a file, and of the machine while something is timed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.errors import BadInputError, BusyError


@contextlib.contextmanager
def lock(path: Path, message: str) -> Iterator[None]:
    """Holds a file lock. Raises `BusyError` with `message` if another process has it, `BadInputError` if the file
    cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise BadInputError(f"{path}: cannot be locked ({error.strerror})") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(message) from error
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def machine_lock(say: Callable[[str], None], *, wait: bool = True) -> Iterator[None]:
    """Waits until nothing else of this suite is timing on this machine, and holds the others off meanwhile. Raises
    `BlockingIOError` instead of waiting if told not to.

    **Arguments:**

    - `say`: told in one line that there is something to wait for.
    """
    path = Path(tempfile.gettempdir()) / f"lenet-bench-timing-{os.getuid()}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            say("another sweep is timing on this machine; waiting for it to finish")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file `path`, waiting for whoever has it. Where the folder cannot be written there is no lock."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
