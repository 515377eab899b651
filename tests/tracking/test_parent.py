import os
import socket
import subprocess
import sys

import pytest
from fakes.tracked_run import results_of

from bench.tracking import parent
from bench.tracking.entries import make_entries, sweep_entry
from bench.tracking.plan import HeldRun
from bench.tracking.store import open_store

HERE = socket.gethostname()


@pytest.fixture
def store(uri, tmp_path):
    with open_store(uri, tmp_path) as opened:
        yield opened


@pytest.fixture
def sweep(run):
    *_, entry = make_entries(results_of(run))
    return entry


def status_of(store, run_id):
    return store.client.get_run(run_id).info.status


def test_a_writer_is_dead_once_its_process_has_ended_and_a_later_one_of_its_number_is_not_it():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    written_by = parent.writer(ended.pid)
    ended.wait()
    assert parent.is_dead(written_by)
    assert not parent.is_dead(parent.writer())
    assert parent.is_dead(f"{HERE}:{os.getpid()}:another-start")
    assert not parent.is_dead(f"{HERE}:1")  # init; when it began is not known here
    assert not parent.is_dead("elsewhere:7:x")
    assert not parent.is_dead("")


def test_a_sweep_begins_once_and_is_opened_again(store, run):
    entry = sweep_entry(run, (), "note")
    first = parent.begin(store, entry, os.getpid())
    assert status_of(store, first) == "RUNNING"
    parent.close(store, first)
    assert status_of(store, first) == "KILLED"
    assert parent.begin(store, entry, 1) == first
    assert status_of(store, first) == "RUNNING"
    assert store.client.get_run(first).data.tags["bench.writer"].startswith(f"{HERE}:1:")


def test_sweeps_that_died_are_closed_and_live_ones_are_not(store):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    writers = {f"{HERE}:{ended.pid}": "KILLED", f"{HERE}:1": "RUNNING", "elsewhere:7": "RUNNING"}
    tags = {"bench.role": "sweep", "bench.sweep_uid": "other"}
    made = {
        writer: store.client.create_run(store.experiment_id, tags={**tags, "bench.writer": writer}).info.run_id
        for writer in writers
    }
    parent.close_dead(store)
    assert {writer: status_of(store, run_id) for writer, run_id in made.items()} == writers


def test_of_several_runs_of_one_sweep_one_stays(store, sweep):
    ids = [store.client.create_run(store.experiment_id, tags=sweep.tags).info.run_id for _ in range(3)]
    held = [HeldRun(run_id, sweep.uid, "", "RUNNING", "") for run_id in ids]
    assert parent.only_one(store, sweep, held) == min(ids)
    assert [run.info.run_id for run in store.client.search_runs([store.experiment_id])] == [min(ids)]
    assert parent.only_one(store, sweep, []) not in ids


def test_the_sweeps_run_gets_its_files_data_and_numbers_once(store, sweep, tmp_path, monkeypatch):
    table, plots = tmp_path / "table.csv", tmp_path / "plots"
    table.write_text("a,b\n")
    plots.mkdir()
    (plots / "one.svg").write_text("<svg/>")
    ranking = {"columns": ["name"], "data": [["relu"]]}
    run_id = parent.only_one(store, sweep, [])
    parent.finish(store, run_id, sweep, [table, plots], ranking)
    run = store.client.get_run(run_id)
    assert (run.info.status, run.data.metrics["sweep/trials"]) == ("FINISHED", 4)
    assert sorted(file.path for file in store.client.list_artifacts(run_id)) == ["plots", "ranking.json", "table.csv"]
    [data] = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("digits", "0123456789abcdef")

    def not_again(*_):
        raise AssertionError("it was there")

    monkeypatch.setattr(parent, "send", not_again)
    parent.finish(store, run_id, sweep, [table, plots], ranking)
    table.write_text("a,b\n1,2\n")
    with pytest.raises(AssertionError):
        parent.finish(store, run_id, sweep, [table, plots], ranking)


def test_links_stand_below_the_answer(sweep):
    answer, links, rest = parent.with_links(sweep, "Open: [x](#/y)").tags["mlflow.note.content"].split("\n\n", 2)
    assert answer.startswith("Best: ")
    assert links == "Open: [x](#/y)"
    assert rest.startswith("Which is best?")
