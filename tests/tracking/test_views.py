import base64
import json
import zlib

import pytest
from fakes.tracked_run import client_of, held_sweeps, make_record, make_run, sync

from bench.tracking.store import open_store
from bench.tracking.views import TAG, Sweep, find_order, takes_saved_views, view_state

ACCURACY = ("test/accuracy", False)


def test_a_sweep_crosses_to_another_process_as_plain_values(run):
    sweep = Sweep.of(run)
    assert (sweep.uid, sweep.experiment, sweep.baseline) == ("abc123", "quick", run.records()[0].key)
    assert Sweep.from_dict(json.loads(json.dumps(sweep.to_dict()))) == sweep


def test_the_name_of_a_view_holds_only_what_a_link_may(run):
    run.experiment["uid"] = "a b/c?&" + "x" * 200
    key = Sweep.of(run).view_key("trials")
    assert key.startswith("bench-a-b-c--x")
    assert len(key) == 150


@pytest.mark.parametrize(
    ("version", "takes"),
    [("3.14.9", False), ("3.15.0", True), ("3.17.2", True), ("4.0.0", False), ("", False), ("weird", False)],
)
def test_saved_views_are_guarded_by_version(version, takes):
    assert takes_saved_views(version) is takes


def test_a_view_has_only_columns_that_the_trials_have(run):
    state = view_state(run.experiment["axes"], "p", {"step/ms", "config/batch_size"}, ACCURACY, grouped=False)
    assert "params.`activation`" in state["selectedColumns"]
    assert "metrics.`step/ms`" in state["selectedColumns"]
    assert not any("test/accuracy" in column for column in state["selectedColumns"])
    assert set(state["columnWidths"]) == set(state["columnOrder"])


def test_charts_are_of_what_the_trials_have_and_the_difference_needs_a_baseline(run):
    axes = run.experiment["axes"]
    timed = view_state(axes, "p", {"step/ms"}, ACCURACY, grouped=False)
    whole = view_state(axes, "p", {"step/ms", "test/accuracy", "epoch/validation_accuracy"}, ACCURACY, grouped=True)
    assert [card["type"] for card in timed["compareRunCharts"]] == ["PARALLEL", "BAR", "DIFFERENCE"]
    assert [card["type"] for card in whole["compareRunCharts"]] == ["PARALLEL", "SCATTER", "BAR", "BAR", "LINE"]
    assert whole["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "activation"}]
    assert "groupBy" not in timed


def test_the_views_are_saved_once_and_the_ui_can_read_them(run, uri):
    sync(run, uri)
    tags = {name: value for name, value in client_of(uri).get_experiment("1").tags.items() if name.startswith(TAG)}
    assert sorted(tags) == [f"{TAG}bench-abc123-groups", f"{TAG}bench-abc123-trials"]
    saved = json.loads(tags[f"{TAG}bench-abc123-trials"])
    assert (saved["name"], saved["createdAt"]) == ("quick r1: trials", 1_759_999_999_000)
    state = json.loads(zlib.decompress(base64.b64decode(saved["state"].removeprefix("deflate;"))))
    [parent] = held_sweeps(uri)
    assert state["searchFilter"] == f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`test/accuracy`", False)
    assert "metrics.`step/ms`" in state["selectedColumns"]
    sync(run, uri)
    assert {name: client_of(uri).get_experiment("1").tags[name] for name in tags} == tags


def test_trials_without_accuracy_are_sorted_by_the_time_of_a_step(tmp_path, uri):
    run = make_run(tmp_path / "quick" / "r2", records=False)
    for place, knobs in enumerate(({"activation": "relu", "batch_size": 8}, {"activation": "tanh", "batch_size": 8})):
        record = make_record(knobs, place)
        run.append(type(record)(**{**vars(record), "seeds": []}))
    sync(run, uri)
    [parent] = held_sweeps(uri)
    with open_store(uri, tmp_path) as store:
        assert find_order(store, parent.info.run_id) == ("step/ms", True)
