import dataclasses
import json

import pytest
from fakes.tracked_run import make_record, make_run, results_of

from bench.records.record import SeedResult
from bench.records.run import Run
from bench.tracking import entries as module
from bench.tracking.entries import (
    COLORS,
    NAME_LIMIT,
    PHASE_TABLE,
    TEXT_LIMIT,
    Entry,
    curves,
    make_entries,
    ranking_table,
    run_name,
    sweep_entry,
    trial_entry,
)  # fmt: skip


def entries_of(run):
    """The trials' entries by name, and the sweep's."""
    *trials, sweep = make_entries(results_of(run))
    return {entry.name: entry for entry in trials}, sweep


def test_an_entry_says_what_varies_and_mirrors_numbers(run):
    entries, _ = entries_of(run)
    entry = entries["tanh-64"]
    assert list(entry.params)[:2] == ["activation", "batch_size"]
    assert entry.params["batch_size"] == "64"
    metrics = {name: value for name, value, step in entry.metrics if step == 0}
    assert metrics["config/batch_size"] == 64
    assert "config/activation" not in metrics
    assert metrics["test/accuracy"] == pytest.approx(0.908)  # place 3: seeds 0.903 and 0.913
    assert metrics["forward/ms"] == pytest.approx(4.4)
    assert metrics["step/ms"] == pytest.approx(13.2)
    assert metrics["memory/peak_mib"] == 4
    half = (metrics["test/accuracy_high"] - metrics["test/accuracy_low"]) / 2
    assert metrics["test/ci95"] == pytest.approx(half, rel=0.05)
    assert entry.tags["mlflow.runColor"] == entries["tanh-8"].tags["mlflow.runColor"] == COLORS[1]
    assert entries["relu-8"].tags["mlflow.runColor"] == COLORS[0]
    assert len({entry.digest for entry in entries.values()}) == 4


def test_numbers_are_rounded_to_six_digits(run):
    entries, _ = entries_of(run)
    for _, value, _ in entries["relu-8"].metrics:
        assert value == float(f"{value:.6g}")


def test_equal_records_give_equal_digests_and_a_new_attempt_another(run):
    first, sweep = entries_of(run)
    again, same_sweep = entries_of(Run.open(run.path))
    assert [entry.digest for entry in first.values()] == [entry.digest for entry in again.values()]
    assert sweep.digest == same_sweep.digest
    run.append(dataclasses.replace(run.records()[0], attempt=2))
    changed, _ = entries_of(run)
    assert changed["relu-8"].digest != first["relu-8"].digest
    assert changed["relu-64"].digest == first["relu-64"].digest


def test_the_digest_is_the_same_after_a_way_through_json(run):
    entries, sweep = entries_of(run)
    for entry in (*entries.values(), sweep):
        assert Entry(**json.loads(json.dumps(vars(entry)))).digest == entry.digest


def test_curves_are_means_over_the_seeds_that_got_so_far():
    history = [{"epoch": 1, "train_loss": 1.0}, {"epoch": 2, "train_loss": 0.5}]
    seeds = [SeedResult(seed=0, history=history), SeedResult(seed=1, history=[{"epoch": 1, "train_loss": 2.0}]),
             SeedResult(seed=2, history=[{"epoch": 1, "train_loss": None}])]  # fmt: skip
    record = dataclasses.replace(make_record({"activation": "relu"}, 0), seeds=seeds)
    assert curves(record) == [("epoch/train_loss", 1.5, 1), ("epoch/train_loss", 0.5, 2)]


def test_a_curve_that_never_moves_is_left_out():
    names = {name for name, _, _ in curves(make_record({"activation": "relu"}, 0))}
    assert names == {"epoch/train_loss", "epoch/validation_accuracy"}  # the learning rate is constant


@pytest.mark.parametrize(("status", "shown"), [("ok", "FINISHED"), ("failed", "FAILED"), ("skipped", "KILLED")])
def test_a_status_is_shown_with_its_reason(run, status, shown):
    record = make_record({"activation": "relu"}, 0, status=status)
    entry = trial_entry(run, record, {"test_accuracy": 0.5}, {})
    assert entry.status == shown
    assert entry.tags["bench.status"] == status
    assert entry.tags.get("bench.reason", "") == record.reason
    # The numbers of a trial that failed half-way are not sorted in among those of whole ones.
    assert ("test/accuracy" in {name for name, _, _ in entry.metrics}) == (status == "ok")


def test_a_sweep_with_missing_trials_is_killed_and_counts_them(run):
    records = run.records()
    entry = sweep_entry(run, records[:3], "")
    assert entry.status == "KILLED"
    assert ("sweep/missing", 1.0, 0) in entry.metrics
    assert sweep_entry(run, records, "").status == "FINISHED"
    opened = sweep_entry(run, (), "")
    assert (opened.start_ms, opened.end_ms) == (1_759_999_999_000, 1_759_999_999_000)


def test_the_sweeps_entry_comes_last_with_its_data_and_description(run):
    _, sweep = entries_of(run)
    assert (sweep.uid, sweep.name, sweep.status) == ("abc123", "quick r1", "FINISHED")
    assert sweep.data == [("digits", "0123456789abcdef")]
    assert sweep.tags["mlflow.note.content"].startswith("Best: **tanh-64**")
    assert ("sweep/ok", 4.0, 0) in sweep.metrics


def test_few_trials_have_a_table_of_phases_each_and_many_have_none(run, monkeypatch):
    entries, _ = entries_of(run)
    table = entries["tanh-64"].table
    assert table["columns"][:2] == ["phase", "ms"]
    assert [(row[0], row[1]) for row in table["data"]] == [
        ("forward", pytest.approx(4.4)), ("backward", pytest.approx(8.8)), ("step", pytest.approx(13.2)),
    ]  # fmt: skip
    assert PHASE_TABLE in entries["tanh-64"].tags["mlflow.loggedArtifacts"]
    monkeypatch.setattr(module, "TABLES_UP_TO", 3)
    entries, _ = entries_of(run)
    assert entries["tanh-64"].table == {}


def test_the_ranking_holds_the_best_first_and_no_more_than_is_looked_at(tmp_path, run, monkeypatch):
    table = ranking_table(results_of(run))
    assert [row[0] for row in table["data"]] == ["tanh-64", "tanh-8", "relu-64", "relu-8"]
    assert table["columns"][:4] == ["name", "activation", "batch_size", "test_accuracy"]
    assert table["data"][0][3] == pytest.approx(0.908)
    json.dumps(table, allow_nan=False)
    monkeypatch.setattr(module, "RANKING_ROWS", 2)
    assert len(ranking_table(results_of(run))["data"]) == 2
    nothing = make_run(tmp_path / "quick" / "r2", records=False)
    assert ranking_table(results_of(nothing))["data"] == []


def test_names_and_values_longer_than_mlflow_takes_are_cut_and_stay_apart(run):
    names = [run_name("n" * 20_000 + last) for last in "ab"]
    assert [len(name) for name in names] == [NAME_LIMIT, NAME_LIMIT]
    assert names[0] != names[1]
    assert run_name("short") == "short"
    record = make_record({"activation": "relu"}, 0, status="failed")
    entry = trial_entry(run, dataclasses.replace(record, reason="r" * 20_000), {}, {})
    assert len(entry.tags["bench.reason"]) == TEXT_LIMIT
