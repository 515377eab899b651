"""Tracking against servers as organisations run them: on PostgreSQL, and with passwords."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import pytest
from fakes.postgres import PASSWORD, missing, postgres
from fakes.tracked_run import client_of, make_run, snapshot, sync

from bench.errors import TrackingError
from bench.tracking.server import serve
from bench.tracking.store import quiet_environment
from bench.tracking.uri import resolve_uri

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ADMIN = "pass-word/with:signs@12"


@pytest.fixture(autouse=True)
def _no_store_of_the_user(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    if reason := missing():
        pytest.skip(reason)
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed")
    with postgres(tmp_path_factory.mktemp("postgres")) as port:
        yield f"postgresql+psycopg2://bench:{urllib.parse.quote(PASSWORD, safe='')}@127.0.0.1:{port}/postgres"


def of_run(uri, run):
    with quiet_environment():
        return [one for one in snapshot(uri) if one[5]["bench.sweep_uid"] == run.experiment["uid"]]


def undisturbed(tmp_path, run):
    (tmp_path / "quiet").mkdir()
    uri = resolve_uri(None, tmp_path / "quiet")
    sync(run, uri)
    return of_run(uri, run)


def test_a_server_on_postgresql_holds_the_same_as_a_file_and_mends_damage(database, tmp_path):
    run = make_run(tmp_path / "quick" / "r1", uid="server")
    with serve(database, port=0, results=tmp_path, start_s=180) as server:
        assert sync(run, server.url, patience_s=10).text == "4 sent"
        held = of_run(server.url, run)
        assert held == undisturbed(tmp_path, run)
        again = sync(run, server.url, patience_s=10)
        assert again.text == "4 unchanged"
        client = client_of(server.url)
        with quiet_environment():
            first = client.search_runs(["1"], "tags.`bench.trial_uid` LIKE 'server:%'")[0]
            client.delete_run(first.info.run_id)
        assert sync(run, server.url, patience_s=10).text == "1 sent, 3 unchanged"
        assert of_run(server.url, run) == held
    with pytest.raises(TrackingError, match="go through its server"):
        sync(make_run(tmp_path / "quick" / "r2", uid="past"), database)


def test_a_database_without_a_server_works_and_its_password_stays_hidden(database, tmp_path):
    import psycopg2

    run = make_run(tmp_path / "quick" / "r1", uid="direct")
    with contextlib.closing(psycopg2.connect(database.replace("+psycopg2", ""))) as connection:
        connection.autocommit = True
        connection.cursor().execute("CREATE DATABASE direct")
    own = database.removesuffix("postgres") + "direct"
    assert sync(run, own, patience_s=10).text == "4 sent"
    assert sync(run, own, patience_s=10).text == "4 unchanged"
    assert of_run(own, run) == undisturbed(tmp_path, run)
    wrong = database.replace("bench:", "bench:x")
    with pytest.raises(TrackingError, match="refuses these credentials") as caught:
        sync(run, wrong)
    for secret in (PASSWORD, urllib.parse.quote(PASSWORD, safe=""), "s3cret"):
        assert secret not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def guarded(tmp_path):
    """A server with accounts; its URL without credentials."""
    pytest.importorskip("flask_wtf", reason="Flask-WTF, which mlflow's accounts need, is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = tmp_path / "auth.ini"
    settings.write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{tmp_path}/auth.db\nadmin_username = admin\n"
        f"admin_password = {ADMIN}\nauthorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    environment = os.environ | {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings), "MLFLOW_FLASK_SERVER_SECRET_KEY": "key",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--host", "127.0.0.1",
         "--port", str(port), "--workers", "1", "--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db",
         "--artifacts-destination", str(tmp_path / "artifacts")],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
                break
            except OSError:
                time.sleep(0.5)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


def test_a_server_with_passwords_takes_the_right_one_and_never_tells_it(guarded, tmp_path, monkeypatch):
    run = make_run(tmp_path / "quick" / "r1", uid="guarded")
    url = f"http://{guarded}"
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "not-the-password")
    with pytest.raises(TrackingError, match="refuses these credentials") as caught:
        sync(run, url)
    assert "not-the-password" not in str(caught.value)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN)
    assert sync(run, url, patience_s=10).text == "4 sent"
    assert sync(run, url, patience_s=10).text == "4 unchanged"
