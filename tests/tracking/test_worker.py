"""The worker's session in this process, and its command line for what needs a process."""

import itertools
import json
import os
import subprocess
import sys

import pytest
from fakes.tracked_run import held_sweeps, results_of

from bench.tracking import worker
from bench.tracking.client import sync_request
from bench.tracking.entries import sweep_entry
from bench.tracking.worker import Session, progress_to, read_content


def opening(run):
    return {"do": "open", "parent": vars(sweep_entry(run, (), "note")), "process": os.getpid()}


def test_what_the_client_writes_is_read_entry_by_entry(run):
    lines = map(json.loads, map(json.dumps, sync_request(results_of(run), artifacts=[run.path / "x"])))
    content = read_content(next(lines), lines)
    assert [entry.name for entry in content.trials] == ["relu-8", "relu-64", "tanh-8", "tanh-64"]
    assert content.parent.uid == content.sweep.uid == "abc123"
    assert content.artifacts == [run.path / "x"]
    assert content.ranking["data"][0][0] == "tanh-64"


def test_half_a_request_is_none(run):
    half = iter([message for message in sync_request(results_of(run)) if "end" not in message])
    with pytest.raises(EOFError):
        read_content(next(half), half)


def test_a_sweep_that_was_begun_and_not_sent_is_killed_at_the_end(run, uri, tmp_path):
    told, session = [], Session(uri, tmp_path, 2.0)
    session.answer(opening(run), iter(()), told.append)
    assert told == [{"kind": "done"}]
    assert [sweep.info.status for sweep in held_sweeps(uri)] == ["RUNNING"]
    session.close()
    assert [sweep.info.status for sweep in held_sweeps(uri)] == ["KILLED"]


def test_a_sweep_that_was_begun_and_sent_is_finished_at_the_end(run, uri, tmp_path):
    told, session = [], Session(uri, tmp_path, 2.0)
    session.answer(opening(run), iter(()), told.append)
    lines = iter(sync_request(results_of(run)))
    session.answer(next(lines), lines, told.append)
    session.close()
    assert told[-1]["text"] == "4 sent"
    assert told[-1]["model"] == "no model: the weights of tanh-64 were not kept"
    assert [sweep.info.status for sweep in held_sweeps(uri)] == ["FINISHED"]


def test_a_store_that_fails_is_told_and_the_session_goes_on(run, tmp_path):
    (tmp_path / "mlflow.db").write_text("no database")
    told, session = [], Session(f"sqlite:///{tmp_path}/mlflow.db", tmp_path, 2.0)
    for _ in range(2):
        session.answer(opening(run), iter(()), told.append)
    session.close()
    assert [message["kind"] for message in told] == ["failed", "failed"]
    assert "no intact sqlite database" in told[0]["reason"]


def test_progress_is_told_a_few_times_a_second_and_at_the_end(monkeypatch):
    clock = itertools.count(100.0, 0.05)
    monkeypatch.setattr(worker.time, "monotonic", lambda: next(clock))
    told = []
    on_progress = progress_to(told.append)
    for done in range(1, 11):
        on_progress(done, 10)
    assert 3 <= len(told) <= 5
    assert told[-1] == {"kind": "progress", "done": 10, "total": 10}


def test_a_worker_whose_parent_stops_in_the_middle_of_a_request_ends_and_writes_nothing(run, tmp_path):
    settings = {"uri": f"sqlite:///{tmp_path}/new.db", "results": str(tmp_path), "patience_s": 2.0}
    half = [message for message in sync_request(results_of(run)) if "end" not in message]
    text = "".join(json.dumps(message) + "\n" for message in (settings, *half))
    done = subprocess.run(
        [sys.executable, "-m", "bench.tracking.worker"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "new.db").exists()
