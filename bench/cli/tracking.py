"""The commands around MLflow: `sync`, `links`, `ui`, `import-pytest-benchmark`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import RESULTS, Results, RunName, Tracking

if TYPE_CHECKING:
    from rich.console import Console

    from bench.tracking.client import Synced


PATIENCE_S = 30.0  # who asks for a sync waits longer for a server than a sweep does


def print_synced(out: Console, uri: str, done: Synced) -> None:
    """What a sync did, and the links."""
    from bench.tracking.uri import mask

    out.print(f"mlflow  {mask(uri)}: {done.text}", markup=False, highlight=False, soft_wrap=True)
    for line in [done.model, *done.links] if done.model else done.links:
        out.print(f"        {line}", markup=False, highlight=False, soft_wrap=True)


def sync(
    names: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="Default: all runs.")] = None,
    tracking_uri: Tracking = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is missing, partial or duplicate; write nothing.")
    ] = False,
    results: Results = RESULTS,
) -> None:
    """Makes MLflow hold what the records say; twice changes nothing. May be stopped and run again."""
    from bench.analysis.results import Results as RunResults
    from bench.cli.terminal import CountWatcher, make_console
    from bench.records.run import Run, all_runs, find_run
    from bench.report.files import find_products
    from bench.tracking.client import Tracker
    from bench.tracking.uri import resolve_uri

    out, uri = make_console(), resolve_uri(tracking_uri, results)
    paths = [find_run(results, name) for name in names] if names else all_runs(results)
    if not paths:
        out.print(f"no runs under {results}", markup=False, highlight=False)
        return
    with Tracker(uri, results, PATIENCE_S) as tracker:
        for path in paths:
            ended = RunResults.of(Run.open(path))
            if len(paths) > 1:
                out.print(f"{path}", markup=False, highlight=False)
            artifacts = [] if dry_run else find_products(ended)
            done = tracker.sync(
                ended, artifacts=artifacts, dry_run=dry_run, on_progress=CountWatcher(out, "mlflow  sent")
            )
            print_synced(out, uri, done)


def links(
    name: RunName,
    port: Annotated[int, typer.Option(help="Of the server to be, for a store without one.")] = 5000,
    tracking_uri: Tracking = None,
    results: Results = RESULTS,
) -> None:
    """Prints the MLflow links of a run."""
    from bench.records.run import Run, find_run
    from bench.tracking.links import find_links
    from bench.tracking.uri import resolve_uri

    run, uri = Run.open(find_run(results, name)), resolve_uri(tracking_uri, results)
    for line in find_links(run, uri).lines(uri, port):
        print(line)


def ui(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 5000,
    tracking_uri: Tracking = None,
    results: Results = RESULTS,
) -> None:
    """Starts the MLflow server on loopback and prints where to look. Ctrl-C ends it."""
    from bench.tracking.links import newest_links
    from bench.tracking.server import serve
    from bench.tracking.uri import resolve_uri

    with serve(resolve_uri(tracking_uri, results), port=port, results=results) as server:
        print(f"MLflow is at {server.url} (Ctrl-C ends it)", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            for line in newest_links(results, server.url):
                print(line, flush=True)
            server.wait()
    print("stopped")


def import_pytest_benchmark(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="What --benchmark-json wrote.")],
    tracking_uri: Tracking = None,
    results: Results = RESULTS,
) -> None:
    """Logs results of pytest-benchmark beside the sweeps; twice adds nothing."""
    from bench.tracking.pytest_import import import_file
    from bench.tracking.store import open_store
    from bench.tracking.uri import mask, resolve_uri
    from bench.verdicts.pytest_benchmark import read_pytest_benchmark

    uri = resolve_uri(tracking_uri, results)
    read = [read_pytest_benchmark(file) for file in files]
    with open_store(uri, results, patience_s=PATIENCE_S) as store:
        for file in read:
            print(f"{file.path}: {import_file(store, file)} to {mask(uri)}")
