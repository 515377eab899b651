"""Tracking against a real MLflow server over HTTP: agreement, a restart in the middle, lost answers."""

import threading
import urllib.request

import pytest
from fakes.faulty_proxy import FaultyProxy
from fakes.tracked_run import make_run, snapshot, sync

from bench.errors import TrackingError
from bench.tracking.links import find_links
from bench.tracking.server import serve
from bench.tracking.store import quiet_environment
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
        sync(run, uri, artifacts=artifacts)
        return runs_of(uri, run)

    return make


@pytest.mark.slow
def test_a_server_holds_the_same_as_a_file_and_twice_adds_nothing(server, tmp_path, undisturbed):
    run = make_run(tmp_path / "quick" / "r1", uid="same")
    report = tmp_path / "report.html"
    report.write_text("<p>fine</p>")
    assert sync(run, server.url, artifacts=[report]).text == "4 sent"
    held = runs_of(server.url, run)
    assert held == undisturbed(run, [report])
    again = sync(run, server.url, artifacts=[report])
    assert again.text == "4 unchanged"
    assert runs_of(server.url, run) == held
    found = find_links(run, server.url)
    assert found == again.links
    assert all(f"  {server.url}/#/experiments/1/" in line or "compare" in line for line in found.lines(server.url))
    run_id = found.sweep.partition("/runs/")[2].partition("?")[0]
    artifact = f"{server.url}/get-artifact?path=report.html&run_uuid={run_id}"
    assert urllib.request.urlopen(artifact).read() == b"<p>fine</p>"


@pytest.mark.slow
def test_a_restart_of_the_server_in_the_middle_of_a_sync(tmp_path, undisturbed):
    axes = {"activation": ["relu", "tanh", "elu"], "batch_size": [8, 16]}
    run = make_run(tmp_path / "quick" / "r1", axes)
    uri = resolve_uri(None, tmp_path)
    done_with_it = threading.Event()

    def restart(port):
        with serve(uri, port=port):  # which lives as long as the thread
            done_with_it.wait()

    with serve(uri, port=0) as first:
        port = int(first.url.rsplit(":", 1)[1])
        starter = threading.Thread(target=restart, args=[port])

        def on_progress(done, total):
            if done == 3:
                first.stop()
                starter.start()

        try:
            assert sync(run, first.url, on_progress=on_progress, patience_s=300).text == "6 sent"
            assert runs_of(first.url, run) == undisturbed(run)
        finally:
            done_with_it.set()
            starter.join()


def test_a_server_that_goes_away_leaves_the_rest_for_later(tmp_path, server, undisturbed):
    run = make_run(tmp_path / "quick" / "r1", uid="away")
    with FaultyProxy(server.url, 0.0, 0) as proxy:

        def on_progress(done, total):
            proxy.faults, proxy.share = ("lost before",), 1.0
            proxy.met = {"lost before": 0}

        with pytest.raises(TrackingError, match="stopped answering"):
            sync(run, proxy.url, on_progress=on_progress)
    assert sync(run, server.url).text == "3 sent, 1 unchanged"
    assert runs_of(server.url, run) == undisturbed(run)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_lost_answers_errors_and_doubled_requests_neither_lose_nor_double_a_trial(tmp_path, server, undisturbed, seed):
    run = make_run(tmp_path / "quick" / "r1", uid=f"faults{seed}")
    with FaultyProxy(server.url, 0.25, seed) as proxy:
        sync(run, proxy.url, patience_s=60)
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
        result = sync(run, proxy.url, patience_s=10)
    assert proxy.met["lost after"] == 3
    assert len(creates) == 5  # the sweep and four trials, none of them sent again
    assert result.text == "4 sent"
    assert len(runs_of(server.url, run)) == 5
