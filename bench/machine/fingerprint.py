"""The machine's fingerprint, the workers' environment, and whether the machine is quiet.

Reads /proc, the environment and a few short commands; what cannot be read is empty rather than an error. It imports no
torch: versions come from the installed packages' metadata.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import socket
import subprocess
from pathlib import Path
from typing import Any

from bench.machine.environment import allocator_environment, worker_environment

COMMAND_LIMIT_S = 5.0


def fingerprint() -> dict[str, Any]:
    """What times depend on. `id` is a hash of the hardware alone (not of the host's name): times are compared only
    within it.

    Keys: `id`, `hostname`, `cpu`, `cores` (usable), `memory_bytes`, `kernel`, `python`, `torch`, `torchvision`,
    `gpu` (names), `driver`, `governor`, `environment` (of the workers).
    """
    cpu, cores, memory_bytes = cpu_name(), usable_cores(), total_memory_bytes()
    driver, gpus = graphics()
    identity = "|".join([cpu, str(cores), str(round(memory_bytes / 2**30)), *gpus])
    environment = worker_environment(1)
    return {
        "id": hashlib.sha256(identity.encode()).hexdigest()[:12],
        "hostname": socket.gethostname(),
        "cpu": cpu,
        "cores": cores,
        "memory_bytes": memory_bytes,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "torchvision": version("torchvision"),
        "gpu": gpus,
        "driver": driver,
        "governor": read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "environment": {name: environment[name] for name in sorted(allocator_environment())},
    }


def version(package: str) -> str:
    """An installed package's version, or ""."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def read_text(path: str) -> str:
    """A small file's text, stripped, or ""."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def run_command(*command: str, folder: Path | None = None) -> str:
    """What a short command prints, stripped, or "" if it fails, hangs or is not there."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=True, cwd=folder, errors="replace"
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def cpu_name() -> str:
    """The processor's name, or at least its architecture."""
    for line in read_text("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def total_memory_bytes() -> int:
    """The machine's memory, or 0."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def graphics() -> tuple[str, list[str]]:
    """NVIDIA's driver version and the names of its devices; "" and [] without them."""
    rows = run_command("nvidia-smi", "--query-gpu=driver_version,name", "--format=csv,noheader").splitlines()
    pairs = [row.partition(", ") for row in rows if ", " in row]
    return (pairs[0][0] if pairs else ""), [name for _, _, name in pairs]


def git_state(folder: Path) -> dict[str, Any]:
    """`commit`, `branch` and `dirty` of the checkout that a folder lies in; "" and False where there is none."""
    commit = run_command("git", "rev-parse", "HEAD", folder=folder)
    return {
        "commit": commit,
        "branch": run_command("git", "rev-parse", "--abbrev-ref", "HEAD", folder=folder) if commit else "",
        "dirty": bool(run_command("git", "status", "--porcelain", "--untracked-files=no", folder=folder)),
    }
