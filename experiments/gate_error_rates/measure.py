"""How often is the gate wrong? Fresh gates on this machine, one JSON line each; stop it and start it again as you like.

    .venv/bin/python experiments/gate_error_rates/measure.py --minutes 60

Every run compares two real commits of a copy of this repository: they differ by a comment, or by real extra work in one
benchmark (`bench.gate.injection`), whose true share of the time is measured apart from the gate. The plan is fixed
before the first run: cycles of `CYCLE`, shuffled by their number; half of the runs share the machine with a process
that keeps one core busy for half the time. Two campaigns, `--part 1/2` and `--part 2/2`, share the plan and the
machine, each on a core of its own: then what else runs is always the other's gate. A run that is interrupted leaves
nothing; one that went wrong is a line too. The raw blocks of each are beside the lines, in `raw/`. `summarise.py` makes
the table and the picture of them.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import gzip
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.experiment.file import read_experiment
from bench.gate.injection import FILE, KINDS, PHASES, add_comment, slow_down
from bench.gate.plan import list_benchmarks
from bench.gate.stored import Gate, read_gate
from bench.gate.trees import git, open_trees
from bench.records.journal import Journal

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results" / "reference" / "gate_error_rates"
CYCLE = 4 * [0.0] + 2 * [0.02] + 2 * [0.03] + 2 * [0.05] + [0.10]
FINER = {0.02: ["--floor", "0.01"]}  # which lowers the routing threshold with it
QUIET, BUSY, GATE = "nothing", "a busy process", "another gate"  # what else runs meanwhile
LOAD_S = 60.0  # busy, then idle, for so long
LOAD = """
import os, sys, time
idle, period, parent = sys.argv[1] == "idle", float(sys.argv[2]), os.getppid()
while os.getppid() == parent:
    end = time.monotonic() + period
    if idle:
        time.sleep(period)
    while time.monotonic() < end:
        pass
    idle = not idle
"""


def condition(number: int) -> dict[str, Any]:
    """What run `number` compares: the same whenever and wherever it is asked for."""
    cycle, place = divmod(number, len(CYCLE))
    draw = random.Random(cycle)
    runs = [
        {"slowdown": size, "kind": draw.choice(list(KINDS)), "load": (cycle + order) % 2 == 1, "victim": draw.random()}
        for order, size in enumerate(CYCLE)
    ]
    draw.shuffle(runs)
    return runs[place]


@contextlib.contextmanager
def background_load(wanted: bool):
    """One core busy for half of the time, beginning at either half."""
    if not wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", LOAD, random.choice(("idle", "busy")), str(LOAD_S)])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def make_commits(folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """A copy of this repository with a commit `change` on top; returns what the change is."""
    base = clone(folder)
    change: dict[str, Any] = {"base": base, "victim": "", "kind": "", "amount": 0, "share": 0.0}
    with open_trees(folder, base, base) as trees, tempfile.TemporaryDirectory() as logs:
        head = trees.path("head")
        if wanted["slowdown"]:
            experiment = read_experiment(head / "experiments" / "gate.toml")
            victims = [one for one in list_benchmarks(experiment) if one.phase in PHASES]
            victim = victims[int(wanted["victim"] * len(victims))]
            amount, share = slow_down(trees, victim, wanted["kind"], wanted["slowdown"], Path(logs))
            change |= {"victim": victim.name, "kind": wanted["kind"], "amount": amount, "share": share}
        else:
            add_comment(head)
        shutil.copy(head / FILE, folder / FILE)
    return {**change, "head": commit(folder)}


def clone(checkout: Path) -> str:
    """Copies this repository into a folder; returns its newest commit."""
    git(ROOT, "clone", "-q", "--no-hardlinks", str(ROOT), str(checkout))
    return git(checkout, "rev-parse", "HEAD").strip()


def commit(checkout: Path) -> str:
    """Commits what was edited in a checkout; returns the commit."""
    identity = ["-c", "user.name=measure", "-c", "user.email=measure@localhost"]
    git(checkout, *identity, "commit", "-q", "-a", "-m", "change")
    return git(checkout, "rev-parse", "HEAD").strip()


def compare(
    checkout: Path, base: str, head: str, options: Sequence[str]
) -> tuple[subprocess.CompletedProcess[str], Gate | None]:
    """`lenet-bench gate` on two commits of a checkout, as a person would; None if it did not get to the end."""
    command = [sys.executable, "-P", "-m", "bench", "gate", "--base", base, "--head", head]
    command += ["--results", str(checkout.parent / "results"), *options]
    with subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            done = subprocess.CompletedProcess(command, 0, *process.communicate())
        except KeyboardInterrupt:
            process.terminate()  # not kill: it has work trees to take away
            raise
    done.returncode = process.returncode
    if done.returncode not in (0, 1, 3):
        return done, None
    (stored,) = (checkout.parent / "results" / "gate").iterdir()
    return done, read_gate(stored)


def run_once(number: int, results: Path, options: list[str], *, alone: bool = True) -> dict[str, Any]:
    """One gate, from the commits to its line. Not `alone`: another campaign runs beside this one, and is its load."""
    wanted = condition(number)
    load = (BUSY if wanted["load"] else QUIET) if alone else GATE
    with tempfile.TemporaryDirectory(prefix="gate-error-rates-") as name:
        folder = Path(name)
        checkout = folder / "checkout"
        change = make_commits(checkout, wanted)
        finer = FINER.get(wanted["slowdown"], [])
        load_before, started = os.getloadavg()[0], time.time()
        with background_load(load == BUSY):
            done, gate = compare(checkout, change["base"], change["head"], [*finer, *options])
        line = {
            "number": number, "slowdown": wanted["slowdown"], "load": load, **change, "started_s": started,
            "seconds": time.time() - started, "exit_code": done.returncode, "options": options,
            "load_average": [load_before, os.getloadavg()[0]],
        }  # fmt: skip
        if gate is None:
            return {**line, "error": done.stderr.strip().splitlines()[-1:]}
    return {**line, **describe(gate), "raw": store(gate, results / "raw" / f"{number:04d}.json.gz")}


def describe(gate: Gate) -> dict[str, Any]:
    """What was decided, of which machine, by which settings."""
    decision = gate.decide()
    verdicts = {one.name: [one.verdict, one.ratio, one.low, one.high, one.p] for one in decision.verdicts}
    machine = gate.about["machine"]
    content = {
        "outcome": decision.outcome,
        "why": decision.why,
        "verdicts": verdicts,
        "accuracy": {one["name"]: one["verdict"] for one in decision.accuracies},
        "detectable": decision.detectable,
        "control": decision.control,
        "pairs": len(gate.pairs),
        "seed": gate.about["seed"],
        "settings": gate.to_dict()["settings"],
        "machine": {key: machine[key] for key in ("id", "cpu", "cores", "kernel", "python", "torch")},
    }
    return json.loads(
        json.dumps(content).replace("-Infinity", "null").replace("Infinity", "null").replace("NaN", "null")
    )


def store(gate: Gate, path: Path) -> str:
    """All raw blocks, in whole nanoseconds, as one compressed file; returns its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pairs = [
        {
            "stage": pair.stage, "first": pair.first, "left": pair.left, "iterations": pair.iterations,
            "failed": pair.failed, "died": pair.died,
            "blocks": {
                name: [[*(round(1e9 * seconds) for seconds in row[:4]), int(row[4])] for row in rows]
                for name, rows in pair.blocks.items()
            },
        }
        for pair in gate.pairs
    ]  # fmt: skip
    path.write_bytes(gzip.compress(json.dumps(pairs, separators=(",", ":")).encode(), mtime=0))
    return f"raw/{path.name}"


def take_core(place: int) -> None:
    """Keeps this campaign and what it starts on one core, and the machine's lock on timing for itself."""
    cores = sorted(os.sched_getaffinity(0))
    if place >= len(cores):
        sys.exit(f"--part: {len(cores)} cores for campaigns, one each")
    os.sched_setaffinity(0, {cores[place]})
    folder = Path(tempfile.gettempdir()) / f"gate-error-rates-core-{cores[place]}"
    folder.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


def main() -> None:
    """Runs gates until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="no run is begun after so long")
    parser.add_argument("--runs", type=int, default=10**6, help="at most so many")
    parser.add_argument("--part", default="1/1", help="2/2: every second run, beside the campaign of 1/2")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments, options = parser.parse_known_args()  # what is left goes to the gate: for trying this script out
    arguments.results.mkdir(parents=True, exist_ok=True)
    journal = Journal(arguments.results / "runs.jsonl")
    part, parts = map(int, arguments.part.split("/"))
    if parts > 1:
        take_core(part - 1)
    end = time.monotonic() + 60 * arguments.minutes
    done = {line["number"] for line in journal.read()}
    mine = (number for number in itertools.count(part - 1, parts) if number not in done)
    for number in itertools.islice(mine, arguments.runs):
        if time.monotonic() > end:
            break
        line = run_once(number, arguments.results, options, alone=parts == 1)
        with (arguments.results / "runs.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a journal has one writer
            journal.append(line)
        print(
            f"{number}: slowed {line['share']:.1%} {line['victim']} beside {line['load']}:",
            f"{line.get('outcome', line.get('error'))} ({line.get('why', '')}), {line['seconds']:.0f} s",
            flush=True,
        )


def run_interruptibly(main: Callable[[], None]) -> None:
    """Runs a script's `main`; an interrupt, also SIGTERM, ends it in one line, and the gate with it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # not by SIGINT, which background jobs ignore
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; the runs that ended are kept, start it again to go on")


if __name__ == "__main__":
    run_interruptibly(main)
