"""File locks: of a run's folder, of a file that several processes make, and of the machine while something is timed.

A lock is held by an open file (flock), so the kernel releases it when its process ends, however it ends. The file
itself stays: removing it would let a second process lock another file of the same name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.errors import BadInputError, BusyError

LOCKS = "LENET_BENCH_LOCKS"


@contextlib.contextmanager
def lock(path: Path, busy: str, *, wait: Callable[[str], None] | None = None, mode: int = 0o666) -> Iterator[None]:
    """Holds the lock of a file, which is made if it is not there. Raises `BadInputError` if it cannot be opened.

    **Arguments:**

    - `busy`: one line that says who has it. Raised as `BusyError` if another process holds the lock and `wait` is None.
    - `wait`: called with `busy` before waiting for the other process.
    - `mode`: the permissions of a file that is made.
    """
    descriptor = _open(path, mode)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if wait is None:
                raise BusyError(busy) from error
            wait(busy)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _open(path: Path, mode: int) -> int:
    try:
        # A link in a folder that everybody may write to could lead to any file.
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, mode)
    except OSError as error:
        raise BadInputError(f"{path}: cannot be locked ({error.strerror})") from error


@contextlib.contextmanager
def lock_if_writable(path: Path) -> Iterator[None]:
    """Waits for the lock of a file and holds it; where the file cannot be made there is no lock."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(BadInputError):
            held.enter_context(lock(path, "", wait=lambda _: None))
        yield


@contextlib.contextmanager
def machine_lock(say: Callable[[str], None], *, wait: bool = True) -> Iterator[None]:
    """Waits until nothing else of this suite is timing on this machine, and holds the others off meanwhile. Raises
    `BusyError` instead of waiting if told not to, `BadInputError` if the lock's file cannot be opened.

    **Arguments:**

    - `say`: told in one line that there is something to wait for.
    """
    busy = "another sweep is timing on this machine; waiting for it to finish"
    with lock(_machine_lock_file(), busy, wait=say if wait else None, mode=0o600):
        yield


def check_machine_lock() -> None:
    """Raises `BadInputError` if `machine_lock` could not open its file: better before a training than after it."""
    os.close(_open(_machine_lock_file(), 0o600))


def _machine_lock_file() -> Path:
    """A user's file in the folder that the environment variable LENET_BENCH_LOCKS names, or in the system's folder for
    temporary files.
    """
    folder = Path(os.environ.get(LOCKS) or tempfile.gettempdir())
    return folder / f"lenet-bench-timing-{os.getuid()}.lock"
