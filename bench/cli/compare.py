"""The commands that judge stored results: `compare` and `baseline`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bench.cli.exits import NO_VERDICT, end
from bench.cli.options import (
    RESULTS,
    Alpha,
    BencherFile,
    GithubActionFile,
    JsonFile,
    JunitFile,
    Markdown,
    MarkdownFile,
    PytestBenchmarkFile,
    Results,
    RunName,
    Tolerance,
    Tracking,
    verdict_files,
)

if TYPE_CHECKING:
    from bench.compare.judge import Comparison


SIDE = "A run, a table (.csv, .parquet), a baseline (.txt), mlflow:RUN_ID, or pytest-benchmark (.json, or a folder)."

baseline = typer.Typer(
    no_args_is_help=True, help="What an experiment's times were on this machine, kept with the code."
)


def compare(
    base: Annotated[str, typer.Argument(help=SIDE)],
    head: Annotated[str, typer.Argument(help="The same choice; slower and faster are said of this one.")],
    tolerance: Tolerance = 0.05,
    alpha: Alpha = 0.01,
    md: Markdown = False,
    json_: JsonFile = None,
    markdown: MarkdownFile = None,
    junit: JunitFile = None,
    github_action_benchmark: GithubActionFile = None,
    bencher: BencherFile = None,
    pytest_benchmark: PytestBenchmarkFile = None,
    results: Results = RESULTS,
    tracking_uri: Tracking = None,
) -> None:
    """Compares two stored results: what became slower or faster, what is the same, what cannot be told.

    Ends with 0; 1 if something is slower or broke; 2 for bad input or a failure of the suite itself; 3 without a
    verdict (other machine, torch or threads).
    """
    from bench.compare.judge import compare as judge
    from bench.compare.read import read_side

    before, after = (read_side(text, results, tracking_uri) for text in (base, head))
    comparison = judge(before, after, tolerance, alpha)
    files = verdict_files(json_, markdown, junit, github_action_benchmark, bencher, pytest_benchmark)
    finish(comparison, files, md)


def finish(comparison: Comparison, files: Mapping[str, Path | None], md: bool = False) -> NoReturn:
    """Writes the files, prints what came out unless a file went to standard output, and ends with the exit code."""
    from bench.verdicts.files import STANDARD_OUTPUT, write_file, write_files
    from bench.verdicts.markdown import write_markdown
    from bench.verdicts.text import write_text

    header = {**comparison.header, "started_s": time.time()}
    write_files(header, comparison.verdicts, files)
    if not any(str(path) == "-" for path in files.values()):
        write_file(STANDARD_OUTPUT, (write_markdown if md else write_text)(header, comparison.verdicts))
    raise typer.Exit(comparison.exit_code)


@baseline.command("save")
def save_command(name: RunName = "latest", results: Results = RESULTS) -> None:
    """Writes a run's times into results/baselines, to be committed."""
    from bench.compare.baseline import save_baseline
    from bench.compare.side import from_run
    from bench.records.run import Run, find_run

    run = Run.open(find_run(results, name))
    saved = save_baseline(from_run(run), run.experiment["name"], results, time.strftime("%Y-%m-%d"))
    print(f"{saved.path}: {saved.new} new, {saved.changed} changed, {saved.gone} gone; commit it")
    for line in saved.left_out:
        print(f"left out: {line}")


@baseline.command("show")
def show_command(
    experiment: Annotated[str | None, typer.Argument(help="An experiment's name. Default: lists all.")] = None,
    results: Results = RESULTS,
) -> None:
    """Prints the baselines of an experiment, or lists all there are."""
    from bench.compare.baseline import list_baselines

    for path in list_baselines(results, experiment):
        if experiment is None:
            print(path)
        else:
            print(path.read_text(encoding="utf-8"), end="")


@baseline.command("check")
def check_command(
    name: RunName = "latest",
    tolerance: Tolerance = 0.05,
    alpha: Alpha = 0.01,
    json_: JsonFile = None,
    markdown: MarkdownFile = None,
    junit: JunitFile = None,
    results: Results = RESULTS,
) -> None:
    """Compares a run with the baseline of its experiment on its machine. Ends as `compare` does; 3 without one."""
    from bench.compare.baseline import NoBaselineError, find_baseline, read_baseline
    from bench.compare.judge import compare as judge
    from bench.compare.side import from_run
    from bench.records.run import Run, find_run

    run = Run.open(find_run(results, name))
    try:
        path = find_baseline(results, run.experiment["name"], run.machine.get("id", ""))
    except NoBaselineError as error:
        end(str(error), NO_VERDICT)
    comparison = judge(read_baseline(path), from_run(run), tolerance, alpha)
    finish(comparison, verdict_files(json_, markdown, junit))
