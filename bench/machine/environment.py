"""How our own modules are started as child processes: the command line and the environment variables.

A child imports the libraries and the `bench` that this process runs, wherever it is started: nothing that lies in the
current folder, such as a user's `statistics.py` or a folder named `bench`, comes before them.
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from pathlib import Path

PACKAGE_FOLDER = Path(__file__).resolve().parents[2]
"""The folder that holds the running `bench`."""


def python_command(module: str) -> list[str]:
    """The command line that runs a module in a fresh interpreter, without the current folder on its path."""
    return [sys.executable, "-P", "-m", module]


def child_environment() -> dict[str, str]:
    """This process's environment variables, with PYTHONPATH leading to the running `bench` if it is not installed."""
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), site.getusersitepackages()}
    if PACKAGE_FOLDER in {Path(folder).resolve() for folder in (*installed, *site.getsitepackages())}:
        return dict(os.environ)  # on PYTHONPATH, all of site-packages would come before the standard library
    others = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE_FOLDER), *([others] if others else [])])}


def worker_environment(threads: int) -> dict[str, str]:
    """The environment of a worker that trains or times: as `child_environment`, with the allocator pinned and the
    thread pools set to `threads`.
    """
    count = str(threads)
    pools = {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count}
    return {**child_environment(), **allocator_environment(), **pools}


def allocator_environment() -> dict[str, str]:
    """glibc's allocator thresholds for workers: freed memory stays with the process, so that no step pays for page
    faults.

    Without them the faults of a step differ several-fold from one process to an identical other, and the times with
    them.
    """
    return {
        "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
        "MALLOC_TRIM_THRESHOLD_": str(1 << 33),
        "MALLOC_TOP_PAD_": str(64 << 20),
    }
