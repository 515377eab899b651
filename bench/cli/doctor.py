"""`lenet-bench doctor`: what this machine has for the suite and what it lacks, with the command that mends it.

It looks and changes nothing. Whether torch works is asked of another process; data sets are looked for and not read.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.cli.options import RESULTS, DataRoot, Results, Tracking
from bench.errors import LaunchError, TrackingError
from bench.text.numbers import format_gib

LOW_DISK_BYTES = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `ok`: True, False, or None for what is merely not there and not needed by all."""

    topic: str
    ok: bool | None
    text: str
    remedy: str = ""


def doctor(data_root: DataRoot = None, tracking_uri: Tracking = None, results: Results = RESULTS) -> None:
    """Says what was found on this machine, what is missing, and the command that mends it."""
    from rich.text import Text

    from bench.cli.terminal import make_console
    from lenet.files import data_root as find_data_root

    out = make_console()
    marks = {True: ("ok  ", "green"), False: ("no  ", "red"), None: ("--  ", "yellow")}
    for finding in examine(find_data_root(data_root).resolve(), results, tracking_uri):
        out.print(Text.assemble(marks[finding.ok], f"{finding.topic:<14}{finding.text}"), soft_wrap=True)
        if finding.remedy:
            out.print(f"                  {finding.remedy}", style="dim", soft_wrap=True)


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
    from bench.machine import fingerprint

    memory = format_gib(fingerprint.total_memory_bytes())
    return Finding("processor", True, f"{fingerprint.cpu_name()}, {fingerprint.usable_cores()} cores, {memory}")


def examine_quiet() -> Finding:
    """Whether other processes would disturb timings."""
    from bench.machine.quiet import quiet_warning

    warning = quiet_warning()
    return Finding(
        "quiet",
        warning is None,
        warning or "nothing else is running",
        "" if warning is None else "stop it before timing",
    )


def examine_torch() -> list[Finding]:
    """torch, its CUDA device, and torchvision."""
    from bench.machine import fingerprint
    from bench.machine.processes import ask

    try:
        answer = ask({"kind": "probe"})
    except LaunchError as error:
        return [Finding("torch", False, str(error), "make setup")]
    gpu = answer["name"] if answer["cuda"] else answer["reason"]
    vision = fingerprint.version("torchvision")
    return [
        Finding("torch", True, f"{fingerprint.version('torch')}, allocator pinned for workers"),
        Finding("cuda", answer["cuda"] or None, gpu, "" if answer["cuda"] else "trials on cuda will be skipped"),
        Finding(
            "torchvision", bool(vision) or None, vision or "not installed", "" if vision else "pip install torchvision"
        ),
    ]


def examine_data(root: Path) -> list[Finding]:
    """Each data set: there, or how to get it."""
    from bench.machine import fingerprint
    from lenet.files import FILES

    findings = [Finding("digits", bool(fingerprint.version("scikit-learn")), "comes with scikit-learn")]
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
        file = folder / ".lenet-bench-probe"
        file.write_text("")
        file.unlink()
    except OSError as error:
        return Finding("results", False, f"{folder}: {error.strerror}", "choose another folder with --results")
    free = shutil.disk_usage(folder).free
    text = f"{results.resolve()}, {format_gib(free)} free"
    return Finding("results", free > LOW_DISK_BYTES, text, "" if free > LOW_DISK_BYTES else "make room on this disk")


def examine_tracking(uri: str | None, results: Path) -> Finding:
    """Whether MLflow is installed and its store can be reached."""
    from bench.machine import fingerprint
    from bench.tracking.store import probe
    from bench.tracking.uri import mask, resolve_uri

    version = fingerprint.version("mlflow")
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
