"""`lenet-bench gate`: arguments in, the verdict out, and an exit code: 0 pass, 1 regression, 2 bad input or
a failure of the gate itself, 3 no verdict.

Part of the command line, as `bench.cli.main` is, which it is added to; nothing is computed here.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bench.cli.options import BencherFile, GithubActionFile, JsonFile, JunitFile, MarkdownFile, PytestBenchmarkFile
from bench.errors import GateError
from bench.verdicts.files import STANDARD_OUTPUT, check_files, write_file

if TYPE_CHECKING:
    from bench.gate.gate import Gate


gate_app = typer.Typer(invoke_without_command=True, add_completion=False, rich_markup_mode=None)

Share = Annotated[float | None, typer.Option(min=0.0, max=1.0)]
Pairs = Annotated[int | None, typer.Option(min=1)]


@gate_app.callback()
def gate(
    context: typer.Context,
    base: Annotated[
        str | None, typer.Option(metavar="REV", help="Compared with where head left it. Default: the main branch.")
    ] = None,
    head: Annotated[str, typer.Option(metavar="REV", help="A revision, or . for the working tree as it is.")] = ".",
    only: Annotated[list[str] | None, typer.Option(help="Only benchmarks of this name or pattern; repeatable.")] = None,
    experiment: Annotated[Path, typer.Option(help="The benchmarks' file in the checkout.")] = Path(
        "experiments/gate.toml"
    ),
    pytest: Annotated[
        str,
        typer.Option(metavar="PATH", help="A pytest-benchmark suite in the checkout instead: tests/benchmarks."),
    ] = "",
    alpha: Annotated[float | None, typer.Option(help="Chance of failing a change that does nothing (0.01).")] = None,
    floor: Annotated[float | None, typer.Option(help="A smaller slowdown never fails (0.02).")] = None,
    tolerance: Annotated[float | None, typer.Option(help="What a pass rules out (0.05).")] = None,
    screen_pairs: Pairs = None,
    confirm_pairs: Pairs = None,
    extend_pairs: Annotated[int | None, typer.Option(min=0, hidden=True)] = None,
    alternations: Annotated[int | None, typer.Option(min=1, hidden=True)] = None,
    block_ms: Annotated[float | None, typer.Option(min=0.1, hidden=True)] = None,
    allow_removed: Annotated[bool, typer.Option("--allow-removed", help="Benchmarks may disappear.")] = False,
    allow_dependency_change: Annotated[
        bool, typer.Option("--allow-dependency-change", help="Give base an environment of its own.")
    ] = False,
    instructions: Annotated[
        bool, typer.Option("--instructions", help="Counts instructions too (valgrind; minutes): explains, never fails.")
    ] = False,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Tries the gate on this machine: on equal code, then on slowed code.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="What is inconclusive withholds the pass (exit 3).")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Refuse while another measurement runs here.")] = False,
    json_: JsonFile = None,
    markdown: MarkdownFile = None,
    junit: JunitFile = None,
    github_action_benchmark: GithubActionFile = None,
    bencher: BencherFile = None,
    pytest_benchmark: PytestBenchmarkFile = None,
    results: Annotated[Path, typer.Option(envvar="LENET_BENCH_RESULTS")] = Path("results"),
    data_root: Annotated[Path | None, typer.Option(help="Where data sets are; digits need none.")] = None,
) -> None:
    """Compares two revisions: is one slower, or does it learn worse?

    Exit codes: 0 pass; 1 regression; 2 bad input or a failure of the gate itself, which judged nothing; 3 no verdict.
    """
    if context.invoked_subcommand:
        return
    from rich.console import Console

    from bench.cli.terminal import TerminalWatcher
    from bench.gate.gate import execute
    from bench.gate.plan import Request
    from lenet.files import data_root as find_data_root

    files = {
        "json": json_, "markdown": markdown, "junit": junit, "github_action_benchmark": github_action_benchmark,
        "bencher": bencher, "pytest_benchmark": pytest_benchmark,
    }  # fmt: skip
    check_files(files)  # now, and not after minutes of measuring
    given = {
        "alpha": alpha, "floor": floor, "tolerance": tolerance, "screen_pairs": screen_pairs,
        "confirm_pairs": confirm_pairs, "extend_pairs": extend_pairs, "alternations": alternations,
        "block_ms": block_ms, "allow_removed": allow_removed or None, "strict": strict or None,
    }  # fmt: skip
    request = Request(
        start=Path.cwd(), base=base, head=head, results=results, data_root=find_data_root(data_root),
        experiment=experiment, pytest=pytest, only=only or [], wait=not no_wait,
        allow_dependency_change=allow_dependency_change, instructions=instructions,
        changes={name: value for name, value in given.items() if value is not None},
    )  # fmt: skip
    try:
        with TerminalWatcher(Console(stderr=True)) as watcher:
            if self_test:
                from bench.gate.self_test import run_self_test

                lines, right = run_self_test(request, watcher)
            else:
                folder, done = execute(request, watcher)
    except BrokenPipeError as error:  # not the end of a listing: it would leave with 0, which is a pass
        raise GateError("whoever read the output has left; nothing was judged") from error
    if self_test:
        print("\n".join(lines))
        sys.exit(0 if right else 3)
    finish(done, folder, files)


@gate_app.command()
def analyse(
    file: Annotated[Path, typer.Argument(help="A gate's folder, its gate.json, or what --json wrote.")],
    json_: JsonFile = None,
    markdown: MarkdownFile = None,
    junit: JunitFile = None,
    github_action_benchmark: GithubActionFile = None,
    bencher: BencherFile = None,
    pytest_benchmark: PytestBenchmarkFile = None,
) -> None:
    """Judges stored pairs again: the same file gives the same verdict."""
    from bench.gate.gate import read_gate

    files = {
        "json": json_, "markdown": markdown, "junit": junit, "github_action_benchmark": github_action_benchmark,
        "bencher": bencher, "pytest_benchmark": pytest_benchmark,
    }  # fmt: skip
    check_files(files)
    finish(read_gate(file), None, files)


def finish(done: Gate, folder: Path | None, files: Mapping[str, Path | None]) -> NoReturn:
    """Prints the verdict, unless a file went to standard output; beside a fresh gate's pairs lies its Markdown too."""
    from bench.gate.decision import NO_VERDICT, PASS, REGRESSION
    from bench.gate.header import make_header, write_gate_files
    from bench.verdicts.text import write_text

    decision = done.decide()
    header = make_header(done, decision)
    if folder:
        from bench.verdicts.markdown import write_markdown

        write_file(folder / "gate.md", write_markdown(header, decision.verdicts))
    write_gate_files(done, decision, header, files)
    if not any(str(path) == "-" for path in files.values()):
        files_line = f"files: {folder}/\n" if folder else ""
        write_file(STANDARD_OUTPUT, write_text(header, decision.verdicts) + files_line)
    sys.exit({PASS: 0, REGRESSION: 1, NO_VERDICT: 3}[decision.outcome])
