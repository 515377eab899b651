"""Options that several commands share, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JsonFile = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Everything, as JSON. '-' is standard output, here and below."),
]
MarkdownFile = Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="A table for a pull request.")]
JunitFile = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="JUnit XML, for CI systems.")]
GithubActionFile = Annotated[
    Path | None,
    typer.Option("--github-action-benchmark", metavar="FILE", help="For its tool 'customSmallerIsBetter'."),
]
BencherFile = Annotated[Path | None, typer.Option("--bencher", metavar="FILE", help="Bencher Metric Format.")]
PytestBenchmarkFile = Annotated[
    Path | None,
    typer.Option(
        "--pytest-benchmark", metavar="FILE", help="What `pytest-benchmark compare` reads; the base goes to FILE-base."
    ),
]
