"""A store agrees with the records after a sync, whatever was there before: real sqlite stores, and kills."""

import dataclasses
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from fakes.tracked_run import (
    client_of,
    held_sweeps,
    held_trials,
    make_record,
    make_run,
    results_of,
    snapshot,
    sync,
)  # fmt: skip

from bench.errors import TrackingError
from bench.records.run import Run
from bench.tracking.client import Tracker, sync_request
from bench.tracking.uri import resolve_uri, sqlite_path
from bench.tracking.worker import read_content

TESTS = Path(__file__).resolve().parents[1]


def rows(uri):
    """Rows in each table: a store that was synced twice must not have grown."""
    with closing(sqlite3.connect(sqlite_path(uri))) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0] for name in names}


def test_a_store_holds_what_the_records_say_and_twice_adds_nothing(run, uri, tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("a,b\n")
    seen = []
    sent = sync(run, uri, artifacts=[file, tmp_path / "not there"], on_progress=lambda *place: seen.append(place))
    assert (sent.text, seen) == ("4 sent", [(1, 4), (2, 4), (3, 4), (4, 4)])
    held = held_trials(uri)
    assert sorted(held) == ["relu-64", "relu-8", "tanh-64", "tanh-8"]
    one, [parent] = held["tanh-8"], held_sweeps(uri)
    assert one.data.metrics["step/ms"] == pytest.approx(9.9)
    assert one.data.params["activation"] == "tanh"
    assert one.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert one.data.tags["mlflow.source.git.commit"] == "0123abc"
    assert (one.info.start_time, one.info.end_time) == (1_760_000_002_000, 1_760_000_002_500)
    assert (parent.info.status, parent.data.metrics["sweep/trials"]) == ("FINISHED", 4)
    assert "| tanh-64 |" in parent.data.tags["mlflow.note.content"]
    assert "[as charts](#/experiments/1/" in parent.data.tags["mlflow.note.content"]
    files = [file.path for file in client_of(uri).list_artifacts(parent.info.run_id)]
    assert files == ["ranking.json", "table.csv"]
    before, content = rows(uri), snapshot(uri)
    assert sync(run, uri, artifacts=[file]).text == "4 unchanged"
    assert (rows(uri), snapshot(uri)) == (before, content)


def test_a_trial_run_again_replaces_its_run(run, uri):
    sync(run, uri)
    run.append(dataclasses.replace(run.records()[0], attempt=2, ended_s=1_760_000_100.0))
    assert sync(run, uri).text == "1 renewed, 3 unchanged"
    held = held_trials(uri)
    assert len(held) == 4
    assert held["relu-8"].data.tags["bench.attempt"] == "2"


def test_a_failed_trial_that_then_succeeds_is_shown_as_finished(tmp_path, uri):
    run = make_run(tmp_path / "quick" / "r2", records=False)
    good = make_record({"activation": "relu", "batch_size": 8}, 0)
    run.append(make_record({"activation": "relu", "batch_size": 8}, 0, status="failed"))
    sync(run, uri)
    assert held_trials(uri)["relu-8"].info.status == "FAILED"
    assert [sweep.info.status for sweep in held_sweeps(uri)] == ["KILLED"]
    run.append(dataclasses.replace(good, attempt=2))
    sync(run, uri)
    assert held_trials(uri)["relu-8"].info.status == "FINISHED"
    assert held_trials(uri)["relu-8"].data.metrics["test/accuracy"] == pytest.approx(0.905)


def test_damage_of_every_kind_is_mended(run, uri):
    sync(run, uri)
    want = snapshot(uri)
    client, held = client_of(uri), held_trials(uri)
    client.delete_run(held["relu-8"].info.run_id)
    client.update_run(held["relu-64"].info.run_id, status="RUNNING")
    client.set_tag(held["tanh-8"].info.run_id, "mlflow.parentRunId", "nobody")
    second = client.create_run("1", tags=held["tanh-64"].data.tags, run_name="tanh-64")
    stray = client.create_run("1", tags={**held["tanh-64"].data.tags, "bench.trial_uid": "abc123:gone"})
    assert sync(run, uri, dry_run=True).text == (
        "1 missing, 1 partial, 2 in agreement, 1 duplicate, 1 without a record (dry run: nothing was written)"
    )
    assert sync(run, uri).text == ("1 sent, 1 completed, 2 unchanged, 1 duplicates removed, 1 without a record removed")
    assert snapshot(uri) == want
    assert {client.get_run(run.info.run_id).info.lifecycle_stage for run in (second, stray)} == {"deleted"}


def test_a_dry_run_writes_nothing(run, uri, tmp_path):
    elsewhere = f"sqlite:///{tmp_path}/other/mlflow.db"
    assert sync(run, elsewhere, dry_run=True).text == "4 missing (dry run: nothing was written)"
    assert not (tmp_path / "other").exists()
    before = rows(uri)
    assert sync(run, uri, dry_run=True).text == "4 missing (dry run: nothing was written)"
    assert rows(uri) == before


def test_values_longer_than_mlflow_takes_are_not_taken_for_damage(tmp_path, uri):
    long = 20_000
    run = make_run(tmp_path / "quick" / "r1", records=False)
    experiment = dict(run.experiment)
    experiment |= {"question": "why " * long, "expect": "because " * long, "command": "x" * long, "uid": "long"}
    endless = Run.create(tmp_path / "quick" / "r2", experiment, {"id": "m1"})
    for place, batch_size in enumerate((8, 64)):
        record = make_record({"activation": "relu", "batch_size": batch_size}, place)
        endless.append(dataclasses.replace(record, name=f"{'n' * long}{place}", reason="r" * long))
    assert sync(endless, uri).text == "2 sent"
    assert [len(name) for name in held_trials(uri)] == [250, 250]  # PostgreSQL takes no more
    before = rows(uri)
    assert sync(endless, uri).text == "2 unchanged"
    assert rows(uri) == before


def test_a_uid_that_cannot_be_searched_for_is_refused(run):
    run.experiment["uid"] = "it's"
    lines = iter(sync_request(results_of(run)))
    with pytest.raises(TrackingError, match="signs that MLflow's filters do not take"):
        read_content(next(lines), lines)


def test_a_read_only_file_is_one_line_and_nothing_is_written(run, uri, tmp_path):
    file = tmp_path / "mlflow.db"
    file.chmod(0o444)
    before = file.read_bytes()
    # Root may write anywhere, so the process gives that right up first: CAP_DAC_OVERRIDE leaves its bounding set.
    code = (
        "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 1)\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    command = [sys.executable, "-c", code, "-m", "fakes.tracked_run", str(run.path), uri]
    done = subprocess.run(command, capture_output=True, text=True, cwd=TESTS)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"{file}: the file is read-only")
    assert file.read_bytes() == before


def test_killed_at_any_moment_and_run_again_nothing_is_lost_or_doubled(tmp_path, uri):
    axes = {"activation": ["relu", "tanh"], "batch_size": [8, 16, 24, 32, 40, 48, 56, 64]}
    run = make_run(tmp_path / "quick" / "r1", axes)
    command = [sys.executable, "-m", "fakes.sync_and_kill", str(run.path), uri, "4", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=TESTS)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1, "no kill hit a sync on its way"
    sync(run, uri)
    (tmp_path / "other").mkdir()
    undisturbed = resolve_uri(None, tmp_path / "other")
    sync(run, undisturbed)
    assert snapshot(uri) == snapshot(undisturbed)
    assert len(held_trials(uri)) == 16


@pytest.mark.slow
def test_three_workers_at_once_into_a_store_that_is_not_there_yet(tmp_path, run):
    uri = resolve_uri(None, tmp_path)
    other = make_run(tmp_path / "quick" / "r2", {"init": ["seed", "orthogonal"]}, uid="other")
    said = []

    def send(run):
        with Tracker(uri, tmp_path, 30.0) as tracker:
            said.append(tracker.sync(results_of(run), model=False).text)

    senders = [threading.Thread(target=send, args=[each]) for each in (run, Run.open(run.path), other)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert sorted(said) == ["2 sent", "4 sent", "4 unchanged"]
    assert len(held_trials(uri)) == 6


def test_importing_tracking_does_not_import_mlflow_or_pandas():
    code = (
        "import sys, bench.tracking.worker, bench.tracking.client\n"
        "assert not {'mlflow', 'pandas', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
