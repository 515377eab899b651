"""The commands of a sweep: `run`, `plan`, `runs`, `table`, `report`, `claims`, and what they print.

What needs time to import is imported inside the command that needs it, so that `--help` is quick.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.exits import FINDING, INTERRUPTED, OK, end
from bench.cli.options import RESULTS, DataRoot, Jobs, Markdown, Results, RunName, Settings, Tracking
from bench.errors import BadInputError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.analysis.results import Results as RunResults
    from bench.experiment.experiment import Experiment
    from bench.records.run import Run
    from bench.sweep.training_stage import Options
    from bench.tracking.client import Tracker


FILE = "An experiment file, such as experiments/quick.toml."


def run(
    file: Annotated[Path | None, typer.Argument(help=FILE)] = None,
    resume: Annotated[str | None, typer.Option(help="Continue this run: only what is missing or failed.")] = None,
    settings: Settings = None,
    jobs: Jobs = None,
    data_root: DataRoot = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch missing data sets.")] = False,
    results: Results = RESULTS,
    tracking_uri: Tracking = None,
    no_track: Annotated[bool, typer.Option("--no-track", help="Leave MLflow out; it need not be installed.")] = False,
) -> None:
    """Runs an experiment: trains, times, records, ranks."""
    from bench.sweep.start import resume_run, start_run
    from bench.tracking.uri import resolve_uri

    options = make_options(jobs, data_root, download)
    if (file is None) == (resume is None):
        raise BadInputError("run: give an experiment file or --resume RUN, one of the two")
    store = None if no_track else resolve_uri(tracking_uri, results)
    if resume is not None:
        if settings:
            raise BadInputError("run: --set cannot change a run that has begun; start a new one")
        opened = resume_run(results, resume)
    else:
        assert file is not None
        opened = start_run(file, settings or [], results, sys.argv[1:], ask=offer_resume)
    with opened as (experiment, folder):
        ended = execute(experiment, folder, options, store, results)
        sys.exit(FINDING if any(record.status == "failed" for record in ended.reading) else OK)


def plan(file: Annotated[Path, typer.Argument(help=FILE)], settings: Settings = None, jobs: Jobs = None) -> None:
    """Prints the trials, their seeds and an estimate of the time, and runs nothing."""
    from bench.cli.terminal import make_console
    from bench.machine.fingerprint import usable_cores
    from bench.sweep.start import estimate_s, plan_experiment
    from bench.text.numbers import format_minutes

    experiment = plan_experiment(file, settings or [])
    out = make_console()
    for number, named in enumerate(experiment.trials, start=1):
        mark = "  (baseline)" if named.trial == experiment.baseline else ""
        out.print(f"{number:4d}  {named.trial.key}  {named.name}{mark}", soft_wrap=True)
    training_s, timing_s = estimate_s(experiment, jobs or usable_cores())
    out.print(
        f"\n{len(experiment.trials)} trials x seeds {', '.join(map(str, experiment.seeds))}; roughly "
        f"{format_minutes(training_s)} of training and {format_minutes(timing_s)} of timing"
    )


def runs(results: Results = RESULTS) -> None:
    """Lists the runs under results/."""
    from bench.records.run import list_runs

    for line in list_runs(results):
        print(line)


def table(
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs: folders, experiment names or 'latest'.")],
    where: Annotated[str | None, typer.Option(help="A pandas expression, such as \"activation == 'relu'\".")] = None,
    md: Markdown = False,
    csv: Annotated[bool, typer.Option("--csv", help="CSV, every column.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="JSON, every column.")] = False,
    effects: Annotated[
        bool, typer.Option("--effects", help="The main effect of each axis instead of the trials.")
    ] = False,
    results: Results = RESULTS,
) -> None:
    """Prints a run's table, one row a trial."""
    from bench.analysis.results import Results as RunResults
    from bench.cli.terminal import make_console
    from bench.records.run import Run, find_run
    from bench.report.files import format_table

    if md + csv + json_ > 1:
        raise BadInputError("table: --md, --csv and --json exclude each other")
    form = "md" if md else "csv" if csv else "json" if json_ else "terminal"
    folders = [Run.open(find_run(results, name)) for name in names]
    out = make_console()
    text = format_table(RunResults.of(*folders, where=where), form, effects=effects, width=out.width)
    if isinstance(text, str):
        print(text, end="" if text.endswith("\n") else "\n")
    else:
        out.print(text)


def report(name: RunName, results: Results = RESULTS) -> None:
    """Writes a run's table, plots, Markdown and HTML page anew from its records, and prints the ranking."""
    from bench.analysis.results import Results as RunResults
    from bench.cli.terminal import make_console
    from bench.records.run import Run, find_run

    show(RunResults.of(Run.open(find_run(results, name))), make_console(), None)


def claims(
    write: Annotated[Path | None, typer.Option(help="Write history.md and its pictures into this folder.")] = None,
    md: Markdown = False,
    json_: Annotated[bool, typer.Option("--json", help="JSON.")] = False,
    results: Results = RESULTS,
) -> None:
    """Holds the literature's claims against the newest history_* runs."""
    from bench.analysis.claims import find_readings, judge_all, read_claims
    from bench.cli.terminal import make_console
    from bench.report import claims_page

    if md and json_:
        raise BadInputError("claims: --md and --json exclude each other")
    listed = read_claims()
    readings = find_readings(results, listed)
    findings = judge_all(listed, readings)
    if md or json_:
        print(claims_page.markdown_table(findings) if md else claims_page.to_json(findings))
    else:
        make_console().print(claims_page.terminal_table(findings))
        print(claims_page.summary(findings))
    if write is not None:
        for path in claims_page.write_page(write, findings, readings):
            print(path, file=sys.stderr)


def execute(experiment: Experiment, folder: Run, options: Options, store: str | None, results: Path) -> RunResults:
    """Runs what is missing of a run, shows and returns its results; `store` is None if MLflow is left out."""
    from bench.analysis.results import Results as RunResults
    from bench.cli.terminal import TerminalWatcher, make_console, warn
    from bench.errors import LaunchError, RecordError
    from bench.machine.quiet import quiet_warning
    from bench.sweep.sweep import Sweep
    from bench.tracking.client import Tracker

    out = make_console()
    try:
        if warning := quiet_warning():
            warn(out, "warning", warning)
        with Tracker(store, results) if store else contextlib.nullcontext() as tracker:
            with TerminalWatcher(out, tracker.settle if tracker else None) as watcher:
                sweep = Sweep(experiment, folder, options, watcher)
                out.print(f"{experiment.name}: {sweep.remaining} of {len(experiment.trials)} trials to run")
                if experiment.question:
                    out.print(experiment.question, style="italic")
                if tracker:
                    tracker.open(folder)
                sweep.execute()
            ended = RunResults.of(folder)
            show(ended, out, tracker)
            return ended
    except (KeyboardInterrupt, BrokenPipeError):
        end(
            f"interrupted; nothing finished is lost. Continue with: lenet-bench run --resume {folder.path}", INTERRUPTED
        )
    except (RecordError, LaunchError) as error:
        end(f"{error}. Continue with: lenet-bench run --resume {folder.path}", FINDING)


def offer_resume(path: Path, done: int, total: int) -> bool:
    """Asks on a terminal; elsewhere says how, and starts a new run."""
    what = f"an interrupted run of this experiment has {done} of {total} trials: {path}"
    if sys.stdin.isatty() and sys.stdout.isatty():
        return typer.confirm(f"{what}\ncontinue it?", default=True)
    print(f"{what}; continue it with: lenet-bench run --resume {path}")
    return False


def make_options(jobs: int | None, data_root: Path | None, download: bool) -> Options:
    """How a sweep is driven, with this machine's defaults where nothing was given."""
    from bench.machine.fingerprint import usable_cores
    from bench.sweep.training_stage import Options
    from lenet.files import data_root as find_data_root

    return Options(jobs=jobs or usable_cores(), data_root=find_data_root(data_root).resolve(), download=download)


def show(results: RunResults, out: Console, tracker: Tracker | None) -> None:
    """What a run leaves: files, the ranking, the replica in MLflow, and where to look."""
    from bench.cli.terminal import warn
    from bench.report.files import make_products

    products, folder = make_products(results), results.run
    out.print()
    out.print(products.ranking(out.width))
    out.print(products.sentence)
    for warning in products.warnings:
        warn(out, "warning", warning)
    out.print(f"\nfiles   {folder.path}/", soft_wrap=True)
    for path in products.paths:
        out.print(f"        {path.relative_to(folder.path)}", soft_wrap=True)
    if tracker:
        print_sync(results, out, tracker, products.paths)
    else:
        out.print(f"mlflow  left out; send it with: lenet-bench sync {folder.path}", soft_wrap=True)


def print_sync(results: RunResults, out: Console, tracker: Tracker, paths: list[Path]) -> None:
    """Sends a sweep that has ended; a store that fails is a warning, since the records are there."""
    from bench.cli.terminal import warn
    from bench.cli.tracking import print_synced
    from bench.errors import TrackingError

    try:
        print_synced(out, tracker.uri, tracker.sync(results, artifacts=paths))
    except TrackingError as error:
        warn(out, "mlflow ", error)
