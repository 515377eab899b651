"""Tracking against a real MLflow server over HTTP: agreement, a restart in the middle, lost answers, a real end of
the process.
"""

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from fakes.faulty_proxy import FaultyProxy
from fakes.tracked_run import make_run, make_table, snapshot

from bench.errors import TrackingError
from bench.tracking.links import links
from bench.tracking.server import serve
from bench.tracking.store import quiet_environment
from bench.tracking.sync import sync
from bench.tracking.uri import resolve_uri

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _no_store_of_the_user(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    return resolve_uri(None, tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def server(backend):
    with serve(backend, port=0) as running:
        yield running


def runs_of(uri, run):
    """What a store holds of one run, to be compared with another store."""
    with quiet_environment():
        return [one for one in snapshot(uri) if one[5]["bench.sweep_uid"] == run.experiment["uid"]]


@pytest.fixture
def undisturbed(tmp_path):
    """What a fresh store holds after one quiet sync."""

    def make(run, artifacts=()):
        (tmp_path / "quiet").mkdir()
        uri = resolve_uri(None, tmp_path / "quiet")
        sync(run, uri, table=make_table(run), artifacts=artifacts)
        return runs_of(uri, run)

    return make


def test_a_server_holds_the_same_as_a_file_and_twice_adds_nothing(server, tmp_path, undisturbed):
    run = make_run(tmp_path / "quick" / "r1", uid="same")
    report = tmp_path / "report.html"
    report.write_text("<p>fine</p>")
    assert sync(run, server.url, table=make_table(run), artifacts=[report]).created == 4
    held = runs_of(server.url, run)
    assert held == undisturbed(run, [report])
    again = sync(run, server.url, table=make_table(run), artifacts=[report])
    assert (again.created, again.unchanged) == (0, 4)
    assert runs_of(server.url, run) == held
    found = links(run, server.url)
    assert found.server_command == ""
    assert found.parent.startswith(f"{server.url}/#/experiments/1/runs/{again.parent_run_id}?")
    artifact = f"{server.url}/get-artifact?path=report.html&run_uuid={again.parent_run_id}"
    assert urllib.request.urlopen(artifact).read() == b"<p>fine</p>"


def test_the_server_is_on_loopback_with_few_processes_and_no_telemetry(server):
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    assert len(children) <= 2
    environment = Path(f"/proc/{server.pid}/environ").read_bytes()
    assert b"MLFLOW_DISABLE_TELEMETRY=true" in environment
    assert b"MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false" in environment
    assert "--backend-store-uri" not in Path(f"/proc/{server.pid}/cmdline").read_text()


def test_a_restart_of_the_server_in_the_middle_of_a_sync(tmp_path, undisturbed):
    axes = {"activation": ["relu", "tanh", "elu"], "batch_size": [8, 16]}
    run = make_run(tmp_path / "quick" / "r1", axes)
    uri = resolve_uri(None, tmp_path)
    again = []

    def restart(port):
        context = serve(uri, port=port)
        again.append((context, context.__enter__()))

    with serve(uri, port=0) as first:
        port = int(first.url.rsplit(":", 1)[1])
        starter = threading.Thread(target=restart, args=[port])

        def on_progress(done, total):
            if done == 3:
                first.stop()
                starter.start()

        try:
            result = sync(run, first.url, table=make_table(run), on_progress=on_progress, patience_s=90)
            assert result.created == 6
            assert runs_of(first.url, run) == undisturbed(run)
        finally:
            starter.join()
            for context, _ in again:
                context.__exit__(None, None, None)


def test_a_server_that_goes_away_leaves_the_rest_for_later(tmp_path, server, undisturbed):
    run = make_run(tmp_path / "quick" / "r1", uid="away")
    with FaultyProxy(server.url, 0.0, 0) as proxy:

        def on_progress(done, total):
            proxy.faults, proxy.share = ("lost before",), 1.0
            proxy.met = {"lost before": 0}

        with pytest.raises(TrackingError, match="stopped answering; the records are safe") as caught:
            sync(run, proxy.url, table=make_table(run), on_progress=on_progress)
        assert str(caught.value).endswith(f"lenet-bench sync {run.path}")
    assert sync(run, server.url, table=make_table(run)).created == 3
    assert runs_of(server.url, run) == undisturbed(run)


@pytest.mark.parametrize("seed", [1, 2])
def test_lost_answers_errors_and_doubled_requests_neither_lose_nor_double_a_trial(tmp_path, server, undisturbed, seed):
    run = make_run(tmp_path / "quick" / "r1", uid=f"faults{seed}")
    with FaultyProxy(server.url, 0.25, seed) as proxy:
        sync(run, proxy.url, table=make_table(run), patience_s=60)
        assert sum(proxy.met.values()) >= 5
    assert runs_of(server.url, run) == undisturbed(run)


def test_a_create_whose_answer_is_lost_is_found_and_not_repeated(tmp_path, server):
    run = make_run(tmp_path / "quick" / "r1", uid="lost")
    creates = []

    with FaultyProxy(server.url, 0.0, 0, ("lost after",)) as proxy:

        class LosesEverySecondCreate(proxy.RequestHandlerClass):
            def do_POST(self):
                creates.extend([self.path] * self.path.endswith("runs/create"))
                proxy.share = float(self.path.endswith("runs/create") and len(creates) % 2 == 1)
                self.handle_any()

        proxy.RequestHandlerClass = LosesEverySecondCreate
        result = sync(run, proxy.url, table=make_table(run), patience_s=10)
    assert proxy.met["lost after"] == 3
    assert len(creates) == 5  # the sweep and four trials, none of them sent again
    assert (result.created, result.duplicates_removed) == (4, 0)
    assert len(runs_of(server.url, run)) == 5


def test_something_else_that_answers_is_not_taken_for_mlflow(tmp_path):
    run = make_run(tmp_path / "quick" / "r1")
    command = [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1", "-d", str(tmp_path)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )
    try:
        port = process.stdout.readline().split()[5].decode()
        with pytest.raises(TrackingError, match="the server answers, but not as MLflow does"):
            sync(run, f"http://127.0.0.1:{port}", table=make_table(run))
    finally:
        process.kill()
        process.communicate()


def test_the_server_ends_with_all_its_processes_and_a_taken_port_is_named(server, tmp_path):
    port = int(server.url.rsplit(":", 1)[1])
    with pytest.raises(TrackingError, match=f"port {port} .* --port"), serve(resolve_uri(None, tmp_path), port=port):
        pass
    with serve(resolve_uri(None, tmp_path), port=0) as other:
        group = [int(pid) for pid in Path(f"/proc/{other.pid}/task/{other.pid}/children").read_text().split()]
        assert group
        os.kill(other.pid, signal.SIGKILL)  # even then its workers must not stay
        other.wait()
    deadline = time.monotonic() + 20
    while any(is_running(pid) for pid in group) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_running(pid) for pid in group)
    address = other.url.removeprefix("http://")
    while listens(address) and time.monotonic() < deadline:  # the kernel closes what a killed process had open
        time.sleep(0.05)
    assert not listens(address)


def listens(address):
    connection = http.client.HTTPConnection(address)
    try:
        connection.connect()
    except ConnectionRefusedError:
        return False
    connection.close()
    return True


def is_running(pid):
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
