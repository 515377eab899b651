"""The tracking worker as a sweep uses it: real processes, real stores."""

import os
import select
import signal
import socket
import subprocess
import sys
import time

import pytest
from fakes.tracked_run import held_sweeps, make_run, results_of

from bench.errors import RecordError, TrackingError
from bench.tracking import client
from bench.tracking.client import Tracker

DEAF = [sys.executable, "-c", "import time; time.sleep(600)"]
"""A worker that neither reads nor answers."""


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_sweeps_run_is_there_before_its_trials_and_finished_after(tmp_path, uri):
    run = make_run(tmp_path / "quick" / "r1", records=False)
    with Tracker(uri, tmp_path) as tracker:
        tracker.open(run)
        tracker.settle(120)
        [sweep] = held_sweeps(uri)
        assert sweep.info.status == "RUNNING"
        assert f":{os.getpid()}:" in sweep.data.tags["bench.writer"]
        for record in make_run(tmp_path / "quick" / "r2").records():
            run.append(record)
        seen = []
        done = tracker.sync(results_of(run), model=False, on_progress=lambda *place: seen.append(place))
        assert (done.text, done.model) == ("4 sent", "")
        assert seen[-1] == (4, 4)
        assert sum("http://127.0.0.1:5000/#/experiments/1/" in line for line in done.links) == 4
        again = tracker.sync(results_of(run), dry_run=True)
        assert (again.text, again.links) == ("4 in agreement (dry run: nothing was written)", [])
    [sweep] = held_sweeps(uri)
    assert (sweep.info.status, sweep.data.metrics["sweep/ok"]) == ("FINISHED", 4)


def test_a_sweep_that_is_killed_is_killed_in_mlflow_too(tmp_path, uri):
    run = make_run(tmp_path / "quick" / "r1", records=False)
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from bench.records.run import Run; from bench.tracking.client import Tracker\n"
        "tracker = Tracker(sys.argv[2], Path(sys.argv[3])); tracker.open(Run.open(Path(sys.argv[1])))\n"
        "tracker.settle(120); print(tracker._process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", code, str(run.path), uri, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sweep:
        worker = int(sweep.stdout.readline())
        assert sweep.wait() == -signal.SIGKILL
        if is_there(worker):
            descriptor = os.pidfd_open(worker)  # readable once the worker has ended
            assert select.select([descriptor], [], [], 120)[0]
            os.close(descriptor)
    assert [sweep.info.status for sweep in held_sweeps(uri)] == ["KILLED"]


def test_a_worker_that_dies_is_one_line_and_the_next_sync_mends_it(tmp_path, uri, run):
    with Tracker(uri, tmp_path) as tracker:
        tracker.settle()
        os.kill(tracker._process.pid, signal.SIGKILL)
        with pytest.raises(TrackingError, match=r"killed.*records are safe.*lenet-bench sync") as caught:
            tracker.sync(results_of(run), model=False)
        assert "\n" not in str(caught.value)
        assert tracker.sync(results_of(run), model=False).text == "4 sent"  # by another worker


@pytest.mark.slow
def test_a_worker_that_is_not_ready_in_time_does_not_hold_up_the_timing_and_another_syncs(tmp_path, uri, run):
    with Tracker(uri, tmp_path) as tracker:
        tracker.open(run)
        slow = tracker._process.pid
        tracker.settle(0)
        assert not is_there(slow)
        assert tracker.sync(results_of(run), model=False).text == "4 sent"
        assert tracker._process.pid != slow
    assert [sweep.info.status for sweep in held_sweeps(uri)] == ["FINISHED"]


@pytest.mark.parametrize("trials", [4, 100], ids=["says nothing", "takes nothing"])
def test_a_worker_that_neither_says_nor_takes_anything_is_ended(tmp_path, uri, monkeypatch, trials):
    monkeypatch.setattr(client, "WORKER", DEAF)
    monkeypatch.setattr(client, "SILENCE_LIMIT_S", 0.5)
    run = make_run(tmp_path / "quick" / "r1", {"batch_size": list(range(1, trials + 1))})
    with Tracker(uri, tmp_path) as tracker:
        deaf = tracker._process.pid
        with pytest.raises(TrackingError, match=r"silent for 0\.5 s and was ended; the records are safe"):
            tracker.sync(results_of(run))
        assert not is_there(deaf)


def test_damaged_records_are_said_and_leave_no_worker_with_half_a_request(tmp_path, uri, run):
    lines = (run.path / "records.jsonl").read_text().splitlines(keepends=True)
    (run.path / "records.jsonl").write_text("".join([lines[0], lines[1][:40] + "\n", *lines[2:]]))
    with Tracker(uri, tmp_path) as tracker:
        worker = tracker._process.pid
        with pytest.raises(RecordError):
            tracker.sync(results_of(run))
        assert not is_there(worker)
        (run.path / "records.jsonl").write_text("".join(lines))
        assert tracker.sync(results_of(run), model=False).text == "4 sent"


def test_a_server_that_never_answers_costs_seconds_and_says_what_to_run_later(tmp_path, run):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with Tracker(f"http://u:secret@127.0.0.1:{listener.getsockname()[1]}", tmp_path) as tracker:
            tracker.open(run)
            tracker.settle(120)
            began = time.monotonic()
            with pytest.raises(TrackingError, match="does not answer") as caught:
                tracker.sync(results_of(run))
    assert str(caught.value).endswith(f"the records are safe, send them later with: lenet-bench sync {run.path}")
    assert "secret" not in str(caught.value)
    assert time.monotonic() - began < 60  # MLflow's own retries take 247 s
