"""What this machine has for the suite and what it lacks, with the command that mends it.

Looks, and changes nothing. Whether torch works is asked of a process of its own; no data set is read, only looked for.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.errors import LaunchError, TrackingError
from bench.machine import fingerprint as machine
from bench.machine.processes import ask
from bench.machine.quiet import quiet_warning
from bench.tracking.store import probe
from bench.tracking.uri import mask, resolve_uri
from lenet.files import FILES

LOW_DISK_BYTES = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `ok`: True, False, or None for what is merely not there and not needed by all."""

    topic: str
    ok: bool | None
    text: str
    remedy: str = ""


def examine(data_root: Path, results: Path, tracking_uri: str | None) -> list[Finding]:
    """Everything that a sweep depends on, in the order in which it is needed."""
    return [
        examine_processor(),
        examine_quiet(),
        *examine_torch(),
        *examine_data(data_root),
        examine_results(results),
        examine_tracking(tracking_uri, results),
    ]


def examine_processor() -> Finding:
    """Processor, cores, memory."""
    memory_gib = machine.total_memory_bytes() / 2**30
    return Finding("processor", True, f"{machine.cpu_name()}, {machine.usable_cores()} cores, {memory_gib:.0f} GiB")


def examine_quiet() -> Finding:
    """Whether other processes would disturb timings."""
    warning = quiet_warning()
    return Finding(
        "quiet",
        warning is None,
        warning or "nothing else is running",
        "" if warning is None else "stop it before timing",
    )


def examine_torch() -> list[Finding]:
    """torch, its CUDA device, and torchvision."""
    try:
        answer = ask({"kind": "probe"})
    except LaunchError as error:
        return [Finding("torch", False, str(error), "make setup")]
    gpu = answer["name"] if answer["cuda"] else answer["reason"]
    vision = machine.version("torchvision")
    return [
        Finding("torch", True, f"{machine.version('torch')}, allocator pinned for workers"),
        Finding("cuda", answer["cuda"] or None, gpu, "" if answer["cuda"] else "trials on cuda will be skipped"),
        Finding(
            "torchvision", bool(vision) or None, vision or "not installed", "" if vision else "pip install torchvision"
        ),
    ]


def examine_data(root: Path) -> list[Finding]:
    """Each data set: there, or how to get it."""
    findings = [Finding("digits", bool(machine.version("scikit-learn")), "comes with scikit-learn")]
    for name, files in FILES.items():
        there = all((root / file).exists() for file in files)
        there = there or (name == "usps" and all((root / Path(file).name).exists() for file in files))
        text = f"in {root}" if there else f"not in {root}"
        remedy = "" if there else f"--download with any experiment on {name}, or --data-root, or LENET_BENCH_DATA"
        findings.append(Finding(name, there or None, text, remedy))
    return findings


def examine_results(results: Path) -> Finding:
    """Whether runs can be written."""
    folder = results.resolve()
    while not folder.exists():
        folder = folder.parent
    try:
        probe = folder / ".lenet-bench-probe"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        return Finding("results", False, f"{folder}: {error.strerror}", "choose another folder with --results")
    free = shutil.disk_usage(folder).free
    text = f"{results.resolve()}, {free / 2**30:.0f} GiB free"
    return Finding("results", free > LOW_DISK_BYTES, text, "" if free > LOW_DISK_BYTES else "make room on this disk")


def examine_tracking(uri: str | None, results: Path) -> Finding:
    """Whether MLflow is installed and its store can be reached."""
    version = machine.version("mlflow")
    if not version:
        return Finding("mlflow", None, "not installed", "pip install 'mlflow<3.18', or run with --no-track")
    try:
        store = resolve_uri(uri, results)
        if store.startswith("http"):
            probe(store)
    except TrackingError as error:
        remedy = "mend it, or leave the URI out: results/mlflow.db needs no server"
        return Finding("mlflow", False, f"{version}, {error}", remedy)
    return Finding("mlflow", True, f"{version}, {mask(store)}")
