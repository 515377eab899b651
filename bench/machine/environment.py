"""The environment variables of child processes."""

from __future__ import annotations

import os


def worker_environment(threads: int) -> dict[str, str]:
    """The environment of a worker: this process's, with the allocator pinned and the thread pools set to `threads`."""
    count = str(threads)
    pools = {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count}
    return {**os.environ, **allocator_environment(), **pools}


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
