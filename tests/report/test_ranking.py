"""The ranking as lines and on a terminal, also of runs with an odd shape."""

import io
import re

import pytest
from fakes.made_run import ODD, odd_run, sweep
from rich.console import Console

from bench.analysis.results import Results
from bench.report.ranking import lines_of, terminal_ranking


@pytest.fixture(params=ODD)
def odd(request, tmp_path):
    return odd_run(tmp_path / "odd", request.param)


@pytest.fixture
def run(tmp_path):
    return sweep(tmp_path / "run")


def terminal(run, width):
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(terminal_ranking(Results.of(run), width))
    return console.file.getvalue()


def test_a_line_a_trial_with_its_notes(run):
    relu, tanh, failed, skipped = lines_of(Results.of(run))
    assert (relu.rank, relu.name, relu.note) == ("1", "relu", "pareto")
    assert (tanh.rank, tanh.name, tanh.note) == ("2", "tanh", "pareto")
    assert (failed.name, failed.note) == ("gelu", "failed: the worker crashed (SIGABRT)")
    assert (skipped.name, skipped.note) == ("silu-cuda", "skipped: no CUDA device: none here")


@pytest.mark.parametrize("width", [200, 120, 80])
def test_the_terminal_ranking_fits(run, width):
    text = terminal(run, width)
    assert all(len(line) <= width for line in text.splitlines())
    for part in ("relu", "98.00 ± 2.48 %", "tanh", "gelu", "(SIGABRT)", "silu-cuda", "no CUDA device", "images/s"):
        assert part in text, part
    assert ("forward" in text) == (width >= 110)


@pytest.mark.parametrize("width", [120, 80, 40])
def test_the_terminal_ranking_of_odd_runs(odd, width):
    text = terminal(odd, width)
    assert all(len(line) <= width for line in text.splitlines())
    flat = re.sub(r"\s+", "", text)
    for record in odd.records():
        assert re.sub(r"\s+", "", record.reason)[:40] in flat
        assert record.name.split()[0] in flat
