"""Arguments and options that several commands share, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RESULTS = Path("results")
Results = Annotated[Path, typer.Option(help="Where runs are kept.", envvar="LENET_BENCH_RESULTS")]
Tracking = Annotated[
    str | None, typer.Option(help="MLflow store. Default: $MLFLOW_TRACKING_URI, then results/mlflow.db.")
]
DataRoot = Annotated[
    Path | None, typer.Option(help="Where data sets are. Default: $LENET_BENCH_DATA, then a cache folder.")
]
RunName = Annotated[str, typer.Argument(help="A run's folder, an experiment's name (its newest run), or 'latest'.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Overrides the file; repeatable.")
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Training workers at a time. Default: one a core.")]

Tolerance = Annotated[float, typer.Option(min=0.0, help="Changes up to this share count as the same.")]
Alpha = Annotated[float, typer.Option(min=0.0, max=0.5, help="Chance of any false verdict, over all benchmarks.")]

Markdown = Annotated[bool, typer.Option("--md", help="Prints Markdown.")]

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


def verdict_files(
    json: Path | None,
    markdown: Path | None,
    junit: Path | None,
    github_action_benchmark: Path | None = None,
    bencher: Path | None = None,
    pytest_benchmark: Path | None = None,
) -> dict[str, Path | None]:
    """The files that verdicts were asked to be written to, by format, as `bench.verdicts.files` takes them."""
    return {
        "json": json,
        "markdown": markdown,
        "junit": junit,
        "github_action_benchmark": github_action_benchmark,
        "bencher": bencher,
        "pytest_benchmark": pytest_benchmark,
    }
