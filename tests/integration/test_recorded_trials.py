"""Trials of the shipped experiments and of the recorded runs keep their keys: else old and new results never meet."""

import json
import runpy
from pathlib import Path

import pytest
from fakes.tables import build_table
from fakes.tracked_run import make_run

from bench.experiment.file import check
from bench.experiment.trial import Trial
from bench.records.run import Run

HERE = Path(__file__).parent
REFERENCE = HERE.parents[1] / "results" / "reference"
RUNS = sorted(REFERENCE.rglob("experiment.json"))


def test_the_shipped_experiments_unfold_into_the_recorded_keys():
    experiment_keys = runpy.run_path(str(HERE / "recorded_keys.py"))["experiment_keys"]
    assert experiment_keys() == json.loads((HERE / "recorded_keys.json").read_text())


def test_there_are_recorded_runs():
    assert len(RUNS) >= 7


@pytest.mark.parametrize("path", RUNS, ids=lambda path: str(path.parent.relative_to(REFERENCE)))
def test_a_recorded_run_unfolds_into_its_own_keys(path):
    recorded = json.loads(path.read_text())
    keys = [entry["key"] for entry in recorded["trials"]]
    assert [Trial.from_dict(entry["trial"]).key for entry in recorded["trials"]] == keys
    assert [named.trial.key for named in check(recorded["content"]).trials] == keys


def test_a_record_of_an_init_scheme_that_is_refused_today_is_still_read(tmp_path):
    run = make_run(tmp_path / "run", {"init": ["kaiming_uniform"]})
    file = run.path / "records.jsonl"
    file.write_text(file.read_text().replace('"architecture":"lenet"', '"architecture":"lenet5"'))
    table = build_table([Run.open(run.path)])
    assert table[["architecture", "init"]].values.tolist() == [["lenet5", "kaiming_uniform"]]
    assert table["test_accuracy"].notna().all()
