"""The command line within the test's own process, and two runs to show."""

import subprocess
import sys

import pytest
from fakes.command_line import ROOT
from fakes.made_run import odd_run, sweep

from bench.cli.main import main


@pytest.fixture
def call(monkeypatch, capsys):
    """The same within this process, where pandas is imported already."""
    for name in ("LENET_BENCH_RESULTS", "LENET_BENCH_DATA", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(ROOT)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["lenet-bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, ended.value.code or 0, out, err)

    return call


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two runs: an ordinary one, and one with hostile names."""
    results = tmp_path_factory.mktemp("results")
    sweep(results / "made" / "20260101-000000")
    odd_run(results / "odd" / "20260102-000000", "hostile")
    return results
