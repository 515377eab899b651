"""`lenet-bench gate`: compares two revisions, and judges stored pairs again (`gate analyse`).

Exit codes: 0 pass, 1 regression, 2 bad input or a failure of the gate itself, 3 no verdict.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bench.cli.exits import FINDING, NO_VERDICT, OK
from bench.cli.options import (
    RESULTS,
    BencherFile,
    DataRoot,
    GithubActionFile,
    JsonFile,
    JunitFile,
    MarkdownFile,
    PytestBenchmarkFile,
    Results,
    verdict_files,
)
from bench.errors import GateError

if TYPE_CHECKING:
    from bench.cli.terminal import TerminalWatcher
    from bench.gate.plan import Request
    from bench.gate.stored import Gate


gate_app = typer.Typer(invoke_without_command=True, add_completion=False, rich_markup_mode=None)

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
    results: Results = RESULTS,
    data_root: DataRoot = None,
) -> None:
    """Compares two revisions: is one slower, or does it learn worse?

    Exit codes: 0 pass; 1 regression; 2 bad input or a failure of the gate itself, which judged nothing; 3 no verdict.
    """
    if context.invoked_subcommand:
        return
    from bench.gate.plan import Request
    from bench.verdicts.files import check_files
    from lenet.files import data_root as find_data_root

    files = verdict_files(json_, markdown, junit, github_action_benchmark, bencher, pytest_benchmark)
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
    if self_test:
        try_gate(request)
    judge(request, files)


@contextlib.contextmanager
def watching() -> Iterator[TerminalWatcher]:
    """Shows on standard error how measuring goes. Raises `GateError` if whoever read that has left."""
    from rich.console import Console

    from bench.cli.terminal import TerminalWatcher

    try:
        with TerminalWatcher(Console(stderr=True)) as watcher:
            yield watcher
    except BrokenPipeError as error:  # not the end of a listing: it would leave with 0, which is a pass
        raise GateError("whoever read the output has left; nothing was judged") from error


def try_gate(request: Request) -> NoReturn:
    """Tries the gate on this machine, prints what came out, and ends with 3 if the gate was wrong."""
    from bench.gate.self_test import run_self_test

    with watching() as watcher:
        lines, right = run_self_test(request, watcher)
    print("\n".join(lines))
    sys.exit(OK if right else NO_VERDICT)


def judge(request: Request, files: Mapping[str, Path | None]) -> NoReturn:
    """Runs a gate, prints the verdict and ends with its exit code."""
    from bench.gate.gate import execute

    with watching() as watcher:
        folder, done = execute(request, watcher)
    finish(done, folder, files)


@gate_app.command()
def analyse(
    file: Annotated[
        Path, typer.Argument(help="A gate's folder (an interrupted one's too), its gate.json, or what --json wrote.")
    ],
    json_: JsonFile = None,
    markdown: MarkdownFile = None,
    junit: JunitFile = None,
    github_action_benchmark: GithubActionFile = None,
    bencher: BencherFile = None,
    pytest_benchmark: PytestBenchmarkFile = None,
) -> None:
    """Judges stored pairs again: the same file gives the same verdict."""
    from bench.gate.stored import read_gate
    from bench.verdicts.files import check_files

    files = verdict_files(json_, markdown, junit, github_action_benchmark, bencher, pytest_benchmark)
    check_files(files)
    finish(read_gate(file), None, files)


def finish(done: Gate, folder: Path | None, files: Mapping[str, Path | None]) -> NoReturn:
    """Prints the verdict, unless a file went to standard output, and ends with its exit code.

    **Arguments:**

    - `folder`: of a gate that has just been measured; its verdict is written there as Markdown too. Else None.
    """
    from bench.gate import decision as outcomes
    from bench.gate.header import make_header, write_gate_files
    from bench.verdicts.files import STANDARD_OUTPUT, write_file
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
    codes = {outcomes.PASS: OK, outcomes.REGRESSION: FINDING, outcomes.NO_VERDICT: NO_VERDICT}
    sys.exit(codes[decision.outcome])
