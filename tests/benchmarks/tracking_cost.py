"""What tables, reports, resuming and tracking cost as trials grow: `python tests/benchmarks/tracking_cost.py`.

Synthetic records at their true size. Each figure is the best of the repeats, each of a fresh process; exponents are of
time against trials over the last step. With `--ui` the largest run is sent to sqlite and looked at through a server,
which takes as long as its sync: minutes for 10,000. With `--sweep FILE` that experiment is run with and without
tracking in turn, and nothing else is measured.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from fakes.synthetic_run import make_synthetic_run
from fakes.tables import build_table
from fakes.tracked_run import sync

from bench.records.run import Run
from bench.tracking.server import serve
from bench.tracking.store import quiet_environment
from bench.tracking.uri import resolve_uri

BENCH = [sys.executable, "-m", "bench"]
PLAN = (
    "import sys; from pathlib import Path; from bench.records.run import Run\n"
    "run = Run.open(Path(sys.argv[1])); print(sum(record.status == 'ok' for record in run.each()))"
)


def measure(command, repeats):
    """Seconds and MiB at most of a fresh process: the best of the repeats."""
    best = (math.inf, 0.0)
    for _ in range(repeats):
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, command
        best = min(best, (time.monotonic() - began, usage.ru_maxrss / 1024))
    return best


def exponents(name, seconds, sizes):
    """One line: seconds at each size and the exponents between them."""
    steps = list(zip(sizes, sizes[1:], seconds, seconds[1:], strict=False))
    powers = [math.log(later / earlier) / math.log(more / fewer) for fewer, more, earlier, later in steps]
    times = ", ".join(f"{size:,}: {value:.2f} s" for size, value in zip(sizes, seconds, strict=True))
    print(f"{name}: {times}; exponents {', '.join(f'{power:.2f}' for power in powers)}", flush=True)


def local(folders, sizes, repeats):
    """Commands that read records."""
    for name, make in (
        ("table --csv", lambda path: [*BENCH, "table", path, "--csv"]),
        ("table, ranking", lambda path: [*BENCH, "table", path]),
        ("read for resuming", lambda path: [sys.executable, "-c", PLAN, path]),
        ("report (CSV, Parquet, plots, page)", lambda path: [*BENCH, "report", path]),
    ):
        found = [measure(make(str(folder)), 1 if "report" in name else repeats) for folder in folders]
        exponents(name, [seconds for seconds, _ in found], sizes)
        print(f"    at most {found[-1][1]:.0f} MiB", flush=True)
    page = folders[-1] / "report.html"
    print(f"report.html of {sizes[-1]:,} trials: {page.stat().st_size / 1e6:.1f} MB", flush=True)


def rates(folder, trials):
    """Trials a second into sqlite and over HTTP."""
    run = make_synthetic_run(folder / "rates" / "r1", trials, uid="rates")
    uri = resolve_uri(None, folder / "file")
    small = make_synthetic_run(folder / "warm" / "r1", 100, uid="warm")
    sync(small, uri)
    began, cpu = time.monotonic(), time.process_time()
    sync(run, uri)
    took, busy = time.monotonic() - began, time.process_time() - cpu
    print(f"sqlite: {trials / took:.1f} trials/s, {busy / took:.0%} of it on the processor", flush=True)
    with serve(resolve_uri(None, folder / "http"), port=0) as server:
        sync(small, server.url, patience_s=30)
        began, cpu = time.monotonic(), time.process_time()
        sync(run, server.url, patience_s=30)
        took, busy = time.monotonic() - began, time.process_time() - cpu
        print(f"http: {trials / took:.1f} trials/s, {busy / took:.0%} of it on the client's processor", flush=True)


def look(folder, path):
    """The UI's first page sorted by a metric, and search_runs against our table."""
    run, uri = Run.open(path), resolve_uri(None, folder / "large")
    began = time.monotonic()
    print(f"sync of {path.name}: {sync(run, uri).text} in {time.monotonic() - began:.0f} s", flush=True)
    body = {"experiment_ids": ["1"], "max_results": 100, "order_by": ["metrics.`test/accuracy` DESC"],
            "filter": "tags.`bench.role` = 'trial'"}  # fmt: skip
    with serve(uri, port=0) as server:
        for _ in range(3):
            request = urllib.request.Request(
                f"{server.url}/ajax-api/2.0/mlflow/runs/search", json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )  # fmt: skip
            began = time.monotonic()
            count = len(json.load(urllib.request.urlopen(request, timeout=120))["runs"])
            print(f"first page ({count} runs, sorted by a metric): {time.monotonic() - began:.2f} s", flush=True)
    with quiet_environment():
        import mlflow

        mlflow.set_tracking_uri(uri)
        began = time.monotonic()
        rows = len(mlflow.search_runs(["1"]))
        searched = time.monotonic() - began
    began = time.monotonic()
    build_table([run])
    own = time.monotonic() - began
    faster = searched / own
    print(f"mlflow.search_runs of {rows:,} runs: {searched:.1f} s; our table: {own:.1f} s, {faster:.0f} times faster")


def sweeps(folder, experiment, repeats, arguments):
    """What tracking adds to a real sweep: wall and processor seconds of whole commands, in turn."""
    seconds, busy = {True: [], False: []}, {True: [], False: []}
    for number in range(repeats):
        for tracked in (False, True) if number % 2 else (True, False):
            command = [*BENCH, "run", experiment, "--results", str(folder / f"{number}-{tracked}"), *arguments]
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            subprocess.run([*command, *([] if tracked else ["--no-track"])], check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds[tracked].append(time.monotonic() - began)
            busy[tracked].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            print(f"{'tracked' if tracked else 'not tracked'}: {seconds[tracked][-1]:.1f} s, ", end="")
            print(f"{busy[tracked][-1]:.1f} s on the processors", flush=True)
    for name, found in (("wall", seconds), ("processors", busy)):
        extra = statistics.median(found[True]) - statistics.median(found[False])
        share = extra / statistics.median(found[False])
        print(f"{name}: {extra:+.1f} s, {share:+.1%} of this sweep; of one of 10 minutes {extra / 600:+.1%}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rates", type=int, default=200, help="trials to send; 0 leaves it out")
    parser.add_argument("--ui", action="store_true")
    parser.add_argument("--sweep", metavar="FILE", help="an experiment; options that are not known here go to `run`")
    options, rest = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.sweep:
            sweeps(Path(folder), options.sweep, options.repeats, rest)
            return
        folders = [Path(folder) / "synthetic" / f"n{size}" for size in options.sizes]
        for path, size in zip(folders, options.sizes, strict=True):
            # In a process of its own: what this one has grown to would count as its children's peak (they start as it).
            command = [sys.executable, str(TESTS / "fakes" / "synthetic_run.py"), str(path), str(size)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
        local(folders, options.sizes, options.repeats)
        if options.rates:
            rates(Path(folder), options.rates)
        if options.ui:
            look(Path(folder), folders[-1])
    print(f"this script: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
