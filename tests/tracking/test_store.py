import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from fakes.tracked_run import client_of

from bench.errors import TrackingError
from bench.tracking.store import EXPERIMENT, open_store, probe, quiet_environment
from bench.tracking.uri import resolve_uri, sqlite_path


def refused(uri, tmp_path):
    """The line that says why a store cannot be opened."""
    with pytest.raises(TrackingError) as caught, open_store(uri, tmp_path):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_opening_makes_the_experiment_once_with_its_files_beside_the_store(uri, tmp_path):
    with open_store(uri, tmp_path, create=False) as store:
        assert store.experiment_id == ""
    ids = set()
    for _ in range(2):
        with open_store(uri, tmp_path) as store:
            ids.add(store.experiment_id)
    assert ids == {"1"}
    experiment = client_of(uri).get_experiment("1")
    assert experiment.name == EXPERIMENT
    assert experiment.artifact_location == (tmp_path / "mlartifacts" / EXPERIMENT).as_uri()
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_deleted_experiment_is_named_with_its_remedy(uri, tmp_path):
    with open_store(uri, tmp_path):
        pass
    client_of(uri).delete_experiment("1")
    assert "mlflow experiments restore --experiment-id 1" in refused(uri, tmp_path)


@pytest.mark.parametrize("revision", ["451aebb31d03", "ffffffffffff"])
def test_a_store_of_another_version_is_refused(uri, tmp_path, revision):
    with closing(sqlite3.connect(sqlite_path(uri))) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    assert "another version of MLflow" in refused(uri, tmp_path)


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path):
    (tmp_path / "mlflow.db").write_text("not a database, but somebody's file")
    assert "no intact sqlite database" in refused(resolve_uri(None, tmp_path), tmp_path)
    assert (tmp_path / "mlflow.db").read_text().startswith("not a database")


def test_mlflows_settings_hold_inside_and_are_put_back(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "9")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    with quiet_environment():
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "9"
    assert "MLFLOW_DISABLE_TELEMETRY" not in os.environ


@pytest.mark.parametrize("listens", [False, True], ids=["refuses", "never answers"])
def test_a_server_that_does_not_answer_is_one_line_without_the_password(listens):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if listens:
            listener.listen()
        with pytest.raises(TrackingError, match="does not answer") as caught:
            probe(f"http://user:secret@127.0.0.1:{listener.getsockname()[1]}", 0.5)
    assert "secret" not in str(caught.value)


def test_something_else_that_answers_is_not_taken_for_mlflow(tmp_path):
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "-d", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            port = process.stdout.readline().split()[5].decode()
            assert "the server answers, but not as MLflow does" in refused(f"http://127.0.0.1:{port}", tmp_path)
        finally:
            process.kill()
