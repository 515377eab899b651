"""The door for notebooks: each test is a notebook's few lines."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from fakes.made_run import sweep
from fakes.timed_runs import SECONDS, SLOWER
from fakes.timed_runs import make_run as make_timed_run

from bench import api
from bench.errors import BadInputError, ExperimentError, RecordError
from bench.records.run import Run
from lenet.variant import ChoiceError

QUICK = {
    "name": "small",
    "seeds": 2,
    "base": {"data": "digits", "epochs": 1, "batch_size": 64},
    "axes": {"activation": ["relu", "tanh"]},
    "timing": {"processes": 2, "rounds": 1, "block_ms": 2, "budget_s": 1, "phases": ["step"]},
}


def test_importing_the_package_imports_nothing_heavy():
    script = "import sys, bench, bench.api; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "mlflow", "numpy", "scipy", "typer", "rich"} & set(done.stdout.split())


def test_a_run_s_table_is_a_data_frame(tmp_path):
    sweep(tmp_path / "made" / "20260101-000000")
    table = api.load("made", results=tmp_path)
    assert isinstance(table, pd.DataFrame)
    assert {"name", "test_accuracy", "test_accuracy_low", "step_ms", "step_ms_high"} <= set(table.columns)
    assert list(table["key"]) == list(api.load(tmp_path / "made" / "20260101-000000")["key"])
    with pytest.raises(RecordError, match="nothing: no such run"):
        api.load("nothing", results=tmp_path)


def test_all_runs_are_a_data_frame(tmp_path):
    assert list(api.runs(tmp_path).columns)[:3] == ["run", "experiment", "started"]
    assert len(api.runs(tmp_path)) == 0
    run = sweep(tmp_path / "made" / "20260101-000000")
    listed = api.runs(tmp_path)
    assert list(listed["run"]) == [str(run.path)]
    planned = len(run.experiment["trials"])
    assert listed.loc[0, ["ok", "failed", "skipped", "missing"]].sum() == listed.loc[0, "trials"] == planned
    assert len(api.load(listed.loc[0, "run"])) == planned


def test_a_sweep_of_a_mapping_is_a_run_like_any_other(tmp_path):
    run = api.sweep(QUICK, results=tmp_path, jobs=1)
    assert isinstance(run, Run)
    assert run.path.parent == tmp_path.resolve() / "small"
    table = api.load(run.path)
    assert list(table["status"]) == ["ok", "ok"]
    assert list(table["seeds"]) == [2, 2]
    assert (table["step_ms"] > 0).all()
    assert run.experiment["content"]["axes"] == QUICK["axes"]
    again = subprocess.run(
        [sys.executable, "-m", "bench", "run", "--resume", str(run.path), "--no-track"], capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    assert "0 of 2 trials to run" in again.stdout


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"axes": {"activation": ["rleu"]}}, "did you mean 'relu'"),
        ({"base": {"data": object()}}, "what no file could"),
        ({"axes": {"learning_rate": [float("nan")]}}, "what no file could"),
        ({"nmae": "x"}, "unknown key 'nmae'"),
        ("nothing.toml", "nothing.toml: no such file"),
    ],
)
def test_an_experiment_that_cannot_be_run_is_refused_in_one_line(asked, message, tmp_path):
    with pytest.raises(ExperimentError, match=message) as refused:
        api.sweep(asked, results=tmp_path)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.glob("*/*"))


def test_settings_change_a_mapping_as_they_change_a_file(tmp_path):
    timing = {**QUICK["timing"], "enabled": False}
    run = api.sweep({**QUICK, "timing": timing}, settings=["activation=gelu", "seeds=1"], results=tmp_path, jobs=1)
    assert list(api.load(run.path)["activation"]) == ["gelu"]


FACTORIES = """
import torch
from torch import nn

def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def without_classes():
    return nn.Identity()

def number():
    return 3

def broken():
    raise RuntimeError("no weights")
"""


@pytest.fixture
def factories(tmp_path, monkeypatch):
    (tmp_path / "user_networks.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "user_networks.py"


def test_a_module_of_one_s_own_is_timed_in_fresh_processes(factories):
    table = api.time_module("user_networks:make", (16, 1, 8, 8), processes=3, rounds=2)
    assert list(table["phase"]) == ["forward", "backward", "step"]
    assert (table["ms_low"] <= table["ms"]).all()
    assert (table["ms"] <= table["ms_high"]).all()
    assert list(table["processes"]) == [3, 3, 3]
    assert list(table["blocks"]) == [6, 6, 6]
    assert np.allclose(table["images_per_s"], 16 / table["ms"] * 1e3)


def test_a_factory_is_given_by_its_file_or_as_a_function_too(factories):
    by_file = api.time_module(f"{factories}:make", (4, 1, 8, 8), phases=["forward"], processes=1, rounds=1)
    assert by_file["ms_low"].isna().all(), "one process has no interval"
    import user_networks

    itself = api.time_module(user_networks.make, (4, 1, 8, 8), phases=["forward"], processes=1, rounds=1)
    assert (itself["ms"] > 0).all()


@pytest.mark.parametrize(
    ("factory", "changes", "error", "message"),
    [
        ("make", {}, BadInputError, "package.module:function"),
        (lambda: None, {}, BadInputError, "top-level functions only"),
        ("user_networks:nothing", {}, BadInputError, "no attribute 'nothing'"),
        ("user_networks:without_classes", {}, BadInputError, r"not \(images, classes\)"),
        ("user_networks:number", {}, BadInputError, "not a torch.nn.Module"),
        ("user_networks:broken", {}, BadInputError, "no weights"),
        ("user_networks:make", {"phases": ["forwrad"]}, ChoiceError, "forward"),
        ("user_networks:make", {"processes": 0}, ChoiceError, "processes"),
        ("user_networks:make", {"batch": (0, 1, 8, 8)}, ChoiceError, "batch"),
    ],
)
def test_what_cannot_be_timed_is_refused_in_one_line(factory, changes, error, message, factories):
    arguments = {"batch": (4, 1, 8, 8), "processes": 1, "rounds": 1, **changes}
    with pytest.raises(error, match=message) as refused:
        api.time_module(factory, **arguments)
    assert "\n" not in str(refused.value)


def test_two_stored_results_are_compared(tmp_path):
    make_timed_run(tmp_path / "gate" / "a", SECONDS, seed=0)
    make_timed_run(tmp_path / "gate" / "b", SLOWER, seed=1)
    comparison = api.compare(tmp_path / "gate" / "a", tmp_path / "gate" / "b", results=tmp_path)
    assert {one.name for one in comparison.verdicts if one.verdict == "slower"} == {
        f"gelu/{phase}" for phase in ("forward", "backward", "step")
    }
    assert comparison.exit_code == 1
