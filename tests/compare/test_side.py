"""Sides: runs, tables and files of pytest-benchmark as benchmarks with times, and where they were measured."""

import dataclasses
import json

import numpy as np
import pytest
from fakes import timed_runs
from fakes.tables import build_table
from fakes.timed_runs import SECONDS

from bench.analysis.table import write_table
from bench.compare.judge import NO_VERDICT, PASS, compare
from bench.compare.side import from_run, from_table, read_table
from bench.records.reading import Reading
from bench.records.run import Run


def store(run):
    """Writes a run's tables; returns its sides as read from the run, the CSV and the Parquet file."""
    write_table(Reading(run), build_table([run]))
    files = [run.path / name for name in ("table.csv", "table.parquet")]
    return [from_run(run), *(from_table(read_table(file), file.name) for file in files)]


@pytest.mark.parametrize(
    ("learning_rate", "key"), [(0.002599, "000e277784166271"), (0.007019, "0614436803233911")]
)  # fmt: skip
def test_a_key_of_digits_stays_as_it_is(tmp_path, learning_rate, key):
    run = timed_runs.make_run(
        tmp_path / "gate" / "a", {"relu": 1e-3}, base={"epochs": 1, "learning_rate": learning_rate}
    )
    for side in store(run):
        assert {one.key.partition("/")[0] for one in side.benchmarks} == set(side.accuracies) == {key}
        assert compare(from_run(run), side).exit_code == PASS


@pytest.mark.parametrize("machine", ["123e45678901", "012345678901", "000000000000"])
def test_a_machine_of_digits_stays_as_it_is(tmp_path, machine):
    run = timed_runs.make_run(tmp_path / "gate" / "a", SECONDS, machine={"id": machine})
    for side in store(run):
        assert side.place["id"] == machine
        assert compare(from_run(run), side).exit_code == PASS


def test_two_machines_whose_ids_are_both_beyond_every_number_are_two(tmp_path):
    first, second = (
        store(timed_runs.make_run(tmp_path / "gate" / machine, SECONDS, machine={"id": machine}))
        for machine in ("123e45678901", "777e88888888")
    )
    for one, other in zip(first, second, strict=True):
        comparison = compare(one, other)
        assert comparison.exit_code == NO_VERDICT
        assert "different machines, 123e45678901 and 777e88888888" in comparison.header["notes"][0]


@pytest.mark.parametrize("name", ["NA", "null", "None", "007", "1e3", "nan", "True", "inf", "", " x"])
def test_a_name_stays_as_it_is(tmp_path, name):
    random = np.random.default_rng(0)
    record = dataclasses.replace(timed_runs.make_record({"activation": "relu"}, 1e-3, 5, random), name=name)
    made = timed_runs.make_run(tmp_path / "gate" / "a", {"relu": 1e-3})
    made.records_file.path.write_text(json.dumps(record.to_dict()) + "\n")
    for side in store(Run.open(made.path)):
        assert [one.trial for one in side.benchmarks] == [name] * 3


def test_knobs_are_the_same_from_every_store(tmp_path):
    run = timed_runs.make_run(tmp_path / "gate" / "a", SECONDS, base={"weight_decay": 0.0, "batch_size": 32})
    sides = store(run)
    for side in sides:
        assert [one.knobs for one in side.benchmarks] == [one.knobs for one in sides[0].benchmarks]
    assert sides[1].benchmarks[0].knobs["weight_decay"] == "0"


def test_a_machine_that_is_not_known_is_not_known_in_a_table_either(tmp_path):
    run = timed_runs.make_run(tmp_path / "gate" / "a", SECONDS, machine={"id": "", "torch": ""})
    for side in store(run)[1:]:
        assert side.place == {"id": "", "torch": ""}
        assert compare(side, side).exit_code == NO_VERDICT


def test_why_a_trial_failed_is_known_from_every_store(tmp_path):
    run = timed_runs.make_run(tmp_path / "gate" / "a", SECONDS, failed=["tanh"])
    for side in store(run):
        assert [one.reason for one in side.benchmarks if one.time is None] == ["failed: signal 11 in step 3"]
