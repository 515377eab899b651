"""Records made by hand in, every number of the table out."""

import math
import statistics

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from fakes.made_run import ODD, make_record, make_run, odd_run, sweep
from fakes.tables import build_table

from bench.analysis.results import Results
from bench.analysis.table import build_samples, select, write_table
from bench.errors import TableError
from bench.experiment.trial import KNOBS
from bench.records.reading import Reading


@pytest.fixture
def run(tmp_path):
    return sweep(tmp_path / "run")


@pytest.fixture
def table(run):
    return build_table([run])


def row_of(table, name):
    return table[table["name"] == name].iloc[0]


def test_every_number_of_a_row(table):
    row = row_of(table, "relu")
    accuracies, step_s = [0.98, 0.97, 0.99], [1.0e-3, 1.1e-3, 1.05e-3]
    low, high = scipy.stats.t.interval(0.95, 2, loc=0.98, scale=scipy.stats.sem(accuracies))
    mean_s = statistics.geometric_mean(step_s)
    logs = scipy.stats.t.interval(0.95, 2, loc=math.log(mean_s), scale=scipy.stats.sem(np.log(step_s)))
    expected = {
        "test_accuracy": 0.98,
        "test_accuracy_low": low,
        "test_accuracy_high": min(1.0, high),
        "validation_accuracy": 0.97,
        "seeds": 3,
        "best_epoch": 3,
        "train_s": 2.0,
        "evaluate_s": 0.25,
        "step_ms": mean_s * 1e3,
        "step_ms_low": math.exp(logs[0]) * 1e3,
        "step_ms_high": math.exp(logs[1]) * 1e3,
        "backward_ms": mean_s * 1e3 / 2,
        "forward_ms": mean_s * 1e3 / 4,
        "forward_ms_high": math.exp(logs[1]) * 1e3 / 4,
        "step_images_per_s": 64 / mean_s,
        "images_per_s": 64 / mean_s,
        "forward_images_per_s": 4 * 64 / mean_s,
        "parameters": 61_706,
        "macs": 400_000,
        "forward_gflops_per_s": 2 * 400_000 * 4 * 64 / mean_s / 1e9,
        "step_gflops_per_s": 3 * 2 * 400_000 * 64 / mean_s / 1e9,
        "peak_memory_mib": 8.0,
        "processes": 3,
        "rounds": 6,
        "attempt": 1,
        "batch_size": 64,
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    assert (row["status"], row["machine"], row["torch"], row["run"]) == ("ok", "m1", "2.13.0", "run")
    assert (row["activation"], row["device"], row["timing_stopped"]) == ("relu", "cpu", "narrow")
    assert set(KNOBS) <= set(table.columns)


def test_what_failed_or_was_skipped_has_its_reason_and_no_numbers(table):
    assert list(table["status"]) == ["ok", "ok", "failed", "skipped"]
    failed, skipped = row_of(table, "gelu"), row_of(table, "silu-cuda")
    assert (failed["cause"], failed["reason"]) == ("crashed", "the worker crashed (SIGABRT)")
    assert (skipped["cause"], skipped["reason"]) == ("no_device", "no CUDA device: none here")
    measured = [c for c in table.columns if c.startswith(("test_acc", "step_", "forward_", "peak", "parameters"))]
    assert len(measured) > 10
    assert failed[measured].isna().all()
    assert skipped[measured].isna().all()


def test_one_repeat_has_a_value_and_no_interval(tmp_path):
    run = make_run(tmp_path / "r", [make_record({}, (0.98,), (1e-3,)), make_record({"data": "synthetic"}, ())], {})
    table = build_table([run])
    assert table["test_accuracy"][0] == 0.98
    assert table["step_ms"][0] == pytest.approx(1.0)
    for column in ("test_accuracy_low", "test_accuracy_high", "step_ms_low", "step_ms_high"):
        assert table[column].isna().all(), column
    assert math.isnan(table["test_accuracy"][1])


def test_an_accuracys_interval_ends_at_0_and_1(tmp_path):
    run = make_run(tmp_path / "r", [make_record({}, (1.0, 0.99)), make_record({"init": "zeros"}, (0.0, 0.02))], {})
    table = build_table([run])
    assert table["test_accuracy_high"][0] == 1.0
    assert table["test_accuracy_low"][1] == 0.0


def test_the_newest_attempt_stands_in_the_table(run):
    run.append(make_record({"activation": "gelu"}, (0.9, 0.91), (1e-3, 1e-3), attempt=2))
    table = build_table([run])
    assert list(table["name"]) == ["relu", "tanh", "gelu", "silu-cuda"]
    assert (row_of(table, "gelu")["status"], row_of(table, "gelu")["attempt"]) == ("ok", 2)


def test_a_run_without_records_has_the_columns_of_all(tmp_path, table):
    run = odd_run(tmp_path / "odd", "nothing recorded")
    empty = build_table([run])
    assert len(empty) == 0
    assert list(empty.columns) == list(table.columns)
    assert len(Results.of(run).ranked) == 0


def test_the_table_survives_the_disk(run, table):
    paths = write_table(Reading(run), table)
    assert [path.name for path in paths] == ["table.csv", "table.parquet", "samples.parquet"]
    pd.testing.assert_frame_equal(pd.read_parquet(paths[1]), table)
    # A CSV cannot tell an empty text from nothing.
    read = pd.read_csv(paths[0], keep_default_na=False, na_values={c: [""] for c in table if c not in TEXTS})
    pd.testing.assert_frame_equal(read, table, check_dtype=False, rtol=1e-12)
    samples = pd.read_parquet(paths[2])
    pd.testing.assert_frame_equal(samples, build_samples(run.each()))
    assert len(samples) == 2 * 3 * 3 * 2  # trials, phases, processes, rounds
    one = samples[(samples["key"] == table["key"][0]) & (samples["phase"] == "step") & (samples["process"] == 1)]
    assert list(one["seconds"] / one["iterations"]) == pytest.approx([1.1e-3, 1.1e-3])
    assert not list(run.path.glob("*.part"))


TEXTS = {"name", "key", "run", "status", "cause", "reason", "timing_stopped", "machine", "torch"}


@pytest.mark.parametrize("odd", ODD)
def test_odd_tables_survive_the_disk(tmp_path, odd):
    run = odd_run(tmp_path / "odd", odd)
    table = build_table([run])
    paths = write_table(Reading(run), table)
    pd.testing.assert_frame_equal(pd.read_parquet(paths[1]), table)
    assert list(pd.read_csv(paths[0], keep_default_na=False)["name"]) == list(table["name"])


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("activation == 'relu'", ["relu"]),
        ("test_accuracy > 0.9 and step_ms < 1", ["tanh"]),
        ("status != 'ok'", ["gelu", "silu-cuda"]),
        ("name.str.contains('u')", ["relu", "gelu", "silu-cuda"]),
        ("step_ms > 1e9", []),
        ("activation in ['relu', 'gelu'] and not (status == 'failed')", ["relu"]),
    ],
)
def test_a_condition_selects_rows(table, where, names):
    assert list(select(table, where)["name"]) == names


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("activaton == 'relu'", "no column 'activaton'; did you mean 'activation'?"),
        ("activation == ", "not an expression that pandas understands"),
        ("activation = 'relu'", "not a condition"),
        ("batch_size", "not a condition"),
        ("seeds", "not a condition"),
        ("step_ms + 1", "not a condition"),
        ("1 == 1", "not a condition"),
        ("'relu'", "not a condition"),
        ("", "not an expression"),
        ("activation > 3", "not an expression that pandas understands"),
        ("name.nonsense()", "not an expression that pandas understands"),
        ("step_ms > 1\n\nand", "not an expression that pandas understands"),
    ],
)
def test_what_is_no_condition_is_refused_in_one_line(table, where, message):
    with pytest.raises(TableError) as refusal:
        select(table, where)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
