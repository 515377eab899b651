"""Arguments in, printing out. Each command calls one thing that does the work, and turns its end into an exit code.

0 done, 1 some trials failed or something is slower, 2 bad input or a failure of the suite itself, 3 no verdict,
130 interrupted. 1 is a finding: no error ends with it, whatever was raised. A bug of ours ends with 2 and its traceback
(`bench.__main__`). Heavy modules are imported inside the commands that need them, so that `--help` is quick. Nothing is
computed here.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bench.cli.compare import baseline, compare
from bench.cli.gate import gate_app
from bench.cli.tracking import import_pytest_benchmark, links, sync, ui
from bench.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.experiment.experiment import Experiment
    from bench.records.run import Run
    from bench.sweep.sweep import Options
    from bench.tracking.client import Tracker


OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Sweeps LeNet variants, times them, and says what to trust.",
)  # fmt: skip

app.add_typer(gate_app, name="gate")

File = Annotated[Path, typer.Argument(help="An experiment file, such as experiments/quick.toml.")]
RunName = Annotated[str, typer.Argument(help="A run's folder, an experiment's name (its newest run), or 'latest'.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Overrides the file; repeatable.")
]
Results = Annotated[Path, typer.Option(help="Where runs are kept.", envvar="LENET_BENCH_RESULTS")]
DataRoot = Annotated[
    Path | None, typer.Option(help="Where data sets are. Default: $LENET_BENCH_DATA, then a cache folder.")
]
Tracking = Annotated[
    str | None, typer.Option(help="MLflow store. Default: $MLFLOW_TRACKING_URI, then results/mlflow.db.")
]
RESULTS = Path("results")


def main() -> None:
    """Parses and runs: errors meant for people end in one line; with --debug they keep their traceback."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app(prog_name="lenet-bench")
    except SystemExit as error:
        if isinstance(error.__context__, typer.Exit) and error.code == INTERRUPTED:
            raise KeyboardInterrupt from error  # typer would end without a word
        drop_unread_output()
        if isinstance(error.__context__, BrokenPipeError) and error.code == FAILED:  # typer's end for it
            sys.exit(OK)
        if isinstance(error.__context__, typer.Abort):  # typer's end for an EOFError, wherever it came from
            sys.exit(BAD_INPUT)
        raise
    except BrokenPipeError:  # `lenet-bench table | head`
        drop_unread_output()
        sys.exit(OK)
    except OSError as error:
        if debug:
            raise
        end(f"{error.filename}: {error.strerror}" if error.filename else str(error), BAD_INPUT)
    except UserError as error:
        if debug:
            raise
        end(str(error), BAD_INPUT)


def end(message: str, code: int) -> NoReturn:
    """One line on standard error, and the exit code."""
    print(f"lenet-bench: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def drop_unread_output() -> None:
    """Whoever read has seen enough; the interpreter shall not complain of it on its way out."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def console() -> Console:
    """Where everything is printed."""
    from bench.cli.terminal import make_console

    return make_console()


def warn(out: Console, word: str, text: object) -> None:
    """A line that begins with a coloured word."""
    from rich.text import Text

    out.print(Text.assemble((word, "yellow"), f" {text}"), soft_wrap=True)


@app.command()
def run(
    file: Annotated[Path | None, typer.Argument(help="An experiment file, such as experiments/quick.toml.")] = None,
    resume: Annotated[str | None, typer.Option(help="Continue this run: only what is missing or failed.")] = None,
    settings: Settings = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Training workers at a time. Default: one a core.")] = None,
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
        end("run: give an experiment file or --resume RUN, one of the two", BAD_INPUT)
    store = None if no_track else resolve_uri(tracking_uri, results)
    if resume is not None:
        if settings:
            end("run: --set cannot change a run that has begun; start a new one", BAD_INPUT)
        opened = resume_run(results, resume)
    else:
        assert file is not None
        opened = start_run(file, settings or [], results, sys.argv[1:], ask=offer_resume)
    with opened as (experiment, folder):
        execute(experiment, folder, options, store, results)
        sys.exit(FAILED if any(record.status == "failed" for record in folder.each()) else OK)


def execute(experiment: Experiment, folder: Run, options: Options, store: str | None, results: Path) -> None:
    """Runs what is missing of a run and shows it; `store` is None if MLflow is left out."""
    from bench.cli.terminal import TerminalWatcher
    from bench.errors import LaunchError, RecordError
    from bench.machine.quiet import quiet_warning
    from bench.sweep.sweep import Sweep
    from bench.tracking.client import Tracker

    out = console()
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
            show(folder, out, tracker)
    except (KeyboardInterrupt, BrokenPipeError):
        end(
            f"interrupted; nothing finished is lost. Continue with: lenet-bench run --resume {folder.path}", INTERRUPTED
        )
    except (RecordError, LaunchError) as error:
        end(f"{error}. Continue with: lenet-bench run --resume {folder.path}", FAILED)


def offer_resume(path: Path, done: int, total: int) -> bool:
    """Asks on a terminal; elsewhere says how, and starts a new run."""
    what = f"an interrupted run of this experiment has {done} of {total} trials: {path}"
    if sys.stdin.isatty() and sys.stdout.isatty():
        return typer.confirm(f"{what}\ncontinue it?", default=True)
    print(f"{what}; continue it with: lenet-bench run --resume {path}")
    return False


def make_options(jobs: int | None, data_root: Path | None, download: bool) -> Options:
    from bench.machine.fingerprint import usable_cores
    from bench.sweep.sweep import Options
    from lenet.files import data_root as find_data_root

    return Options(jobs=jobs or usable_cores(), data_root=find_data_root(data_root).resolve(), download=download)


def show(folder: Run, out: Console, tracker: Tracker | None) -> None:
    """What a run leaves: files, the ranking, the replica in MLflow, and where to look."""
    from bench.report.files import make_products

    products = make_products(folder)
    out.print()
    out.print(products.ranking(out.width))
    out.print(products.sentence)
    for warning in products.warnings:
        warn(out, "warning", warning)
    out.print(f"\nfiles   {folder.path}/", soft_wrap=True)
    for path in products.paths:
        out.print(f"        {path.relative_to(folder.path)}", soft_wrap=True)
    if tracker:
        print_sync(folder, out, tracker, products.paths)
    else:
        out.print(f"mlflow  left out; send it with: lenet-bench sync {folder.path}", soft_wrap=True)


@app.command()
def plan(file: File, settings: Settings = None, jobs: Annotated[int | None, typer.Option(min=1)] = None) -> None:
    """Prints the trials, their seeds and an estimate of the time, and runs nothing."""
    from bench.sweep.start import estimate_s, plan_experiment

    experiment = plan_experiment(file, settings or [])
    out = console()
    for number, named in enumerate(experiment.trials, start=1):
        mark = "  (baseline)" if named.trial == experiment.baseline else ""
        out.print(f"{number:4d}  {named.trial.key}  {named.name}{mark}", soft_wrap=True)
    training_s, timing_s = estimate_s(experiment, jobs or make_options(jobs, None, False).jobs)
    out.print(
        f"\n{len(experiment.trials)} trials x seeds {', '.join(map(str, experiment.seeds))}; roughly "
        f"{training_s / 60:.1f} min of training and {timing_s / 60:.1f} min of timing"
    )


@app.command()
def runs(results: Results = RESULTS) -> None:
    """Lists the runs under results/."""
    from bench.records.run import list_runs

    for line in list_runs(results):
        print(line)


@app.command()
def table(
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs: folders, experiment names or 'latest'.")],
    where: Annotated[str | None, typer.Option(help="A pandas expression, such as \"activation == 'relu'\".")] = None,
    md: Annotated[bool, typer.Option("--md", help="Markdown.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="CSV, every column.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="JSON, every column.")] = False,
    effects: Annotated[
        bool, typer.Option("--effects", help="The main effect of each axis instead of the trials.")
    ] = False,
    results: Results = RESULTS,
) -> None:
    """Prints a run's table, one row a trial."""
    from bench.records.run import Run, find_run
    from bench.report.files import format_table

    if md + csv + json_ > 1:
        end("table: --md, --csv and --json exclude each other", BAD_INPUT)
    form = "md" if md else "csv" if csv else "json" if json_ else "terminal"
    folders = [Run.open(find_run(results, name)) for name in names]
    text = format_table(folders, form, where=where, effects=effects, width=console().width)
    if isinstance(text, str):
        print(text, end="" if text.endswith("\n") else "\n")
    else:
        console().print(text)


@app.command()
def report(name: RunName, results: Results = RESULTS) -> None:
    """Writes a run's table, plots, Markdown and HTML page anew from its records, and prints the ranking."""
    from bench.records.run import Run, find_run

    show(Run.open(find_run(results, name)), console(), None)


@app.command()
def claims(
    write: Annotated[Path | None, typer.Option(help="Write history.md and its pictures into this folder.")] = None,
    md: Annotated[bool, typer.Option("--md", help="Markdown.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="JSON.")] = False,
    results: Results = RESULTS,
) -> None:
    """Holds the literature's claims against the newest history_* runs."""
    from bench.analysis.claims import find_runs, judge_all, read_claims
    from bench.report import claims_page as history

    if md and json_:
        end("claims: --md and --json exclude each other", BAD_INPUT)
    listed = read_claims()
    found = find_runs(results, listed)
    findings = judge_all(listed, found)
    if md or json_:
        print(history.markdown_table(findings) if md else history.to_json(findings))
    else:
        console().print(history.terminal_table(findings))
        print(history.summary(findings))
    if write is not None:
        for path in history.write_page(write, findings, found):
            print(path, file=sys.stderr)


def print_sync(folder: Run, out: Console, tracker: Tracker, paths: list[Path]) -> None:
    """Sends a sweep that has ended; a store that fails is a warning, since the records are there."""
    from bench.cli.tracking import print_synced
    from bench.errors import TrackingError

    try:
        print_synced(out, tracker.uri, tracker.sync(folder, artifacts=paths))
    except TrackingError as error:
        warn(out, "mlflow ", error)


@app.command()
def doctor(data_root: DataRoot = None, tracking_uri: Tracking = None, results: Results = RESULTS) -> None:
    """Says what was found on this machine, what is missing, and the command that mends it."""
    from rich.text import Text

    from bench.cli.doctor import examine

    out = console()
    options = make_options(None, data_root, False)
    marks = {True: ("ok  ", "green"), False: ("no  ", "red"), None: ("--  ", "yellow")}
    findings = examine(options.data_root, results, tracking_uri)
    for finding in findings:
        out.print(Text.assemble(marks[finding.ok], f"{finding.topic:<14}{finding.text}"), soft_wrap=True)
        if finding.remedy:
            out.print(f"                  {finding.remedy}", style="dim", soft_wrap=True)


for command in (compare, sync, links, ui, import_pytest_benchmark):
    app.command()(command)
app.add_typer(baseline, name="baseline")
