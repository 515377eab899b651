import pytest
from fakes.tracked_run import held_sweeps, held_trials, make_run, sync

from bench.errors import TrackingError
from bench.tracking import links as module
from bench.tracking import views
from bench.tracking.links import Links, find_links, newest_links

LINKS = Links("#/t", "#/c", "", "#/x", "#/s")


def test_a_store_without_a_server_is_told_how_to_start_one_on_the_same_port():
    lines = LINKS.lines("sqlite:////a b/mlflow.db", 5001)
    assert lines[0] == ("start the server first: lenet-bench ui --port 5001 --tracking-uri 'sqlite:////a b/mlflow.db'")
    assert lines[1:] == [
        "table    http://127.0.0.1:5001/#/t",
        "charts   http://127.0.0.1:5001/#/c",
        "compare  http://127.0.0.1:5001/#/x",
        "sweep    http://127.0.0.1:5001/#/s",
    ]


def test_a_server_of_its_own_is_linked_without_password_and_the_description_to_whatever_shows_it():
    assert LINKS.lines("https://u:secret@host/mlflow")[0] == "table    https://host/mlflow/#/t"
    assert LINKS.markdown() == (
        "Open: [the trials as a table](#/t) · [as charts](#/c) · [the best beside the baseline](#/x)"
    )


def test_links_open_the_saved_view_and_compare_the_baseline_with_the_best(run, uri, tmp_path):
    with pytest.raises(TrackingError, match="is not there; send it with: lenet-bench sync"):
        find_links(run, uri)
    sent = sync(run, uri).links
    found = find_links(run, uri)
    assert found == sent
    assert found.table == "#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=bench-abc123-trials"
    assert found.charts == found.table + "&compareRunsMode=CHART"
    assert found.groups.endswith("viewStateShareKey=bench-abc123-groups")
    [parent] = held_sweeps(uri)
    assert found.sweep == f"#/experiments/1/runs/{parent.info.run_id}?workflowType=machine_learning"
    places = {name: found.compare.index(run.info.run_id) for name, run in held_trials(uri).items()}
    assert sorted(places, key=places.get) == ["relu-8", "tanh-64", "tanh-8", "relu-64"]  # the baseline, then the best
    assert newest_links(tmp_path, uri)[0] == f"newest run: {run.path}"


def test_other_versions_of_mlflow_get_a_plain_link(run, uri, monkeypatch):
    monkeypatch.setattr(views, "takes_saved_views", lambda version: False)
    found = sync(run, uri).links
    [parent] = held_sweeps(uri)
    assert f"parentRunId%60%20%3D%20%27{parent.info.run_id}%27" in found.table
    assert "orderByKey=metrics.%60test%2Faccuracy%60&orderByAsc=false" in found.table
    assert found.groups == ""


def test_only_so_many_trials_are_compared(run, uri, monkeypatch):
    sync(run, uri)
    monkeypatch.setattr(module, "TOP", 1)
    compare = find_links(run, uri).compare
    assert {name for name, held in held_trials(uri).items() if held.info.run_id in compare} == {"relu-8", "tanh-64"}


def test_a_store_that_is_not_there_is_not_made(run, tmp_path):
    with pytest.raises(TrackingError, match="no such store; make it with: lenet-bench sync"):
        find_links(run, f"sqlite:///{tmp_path}/mlflow.db")
    assert not (tmp_path / "mlflow.db").exists()
    assert newest_links(tmp_path, f"sqlite:///{tmp_path}/mlflow.db") == []


def test_the_newest_run_that_the_store_holds_is_linked(run, uri, tmp_path):
    sync(run, uri)
    later = make_run(tmp_path / "quick" / "r2", uid="not-sent")
    later.experiment["started_s"] += 100
    assert newest_links(tmp_path, uri)[0] == f"newest run: {run.path}"
