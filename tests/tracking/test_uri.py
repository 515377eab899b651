from pathlib import Path

import pytest

from bench.errors import TrackingError
from bench.tracking.uri import artifact_root, is_server, mask, resolve_uri, sqlite_path, without_credentials


def test_the_default_store_is_a_file_under_results_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_uri(None, Path("results")) == f"sqlite:///{tmp_path}/results/mlflow.db"
    assert resolve_uri("sqlite:///here.db", Path("results")) == f"sqlite:///{tmp_path}/here.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000/")
    assert resolve_uri(None, Path("results")) == "http://host:5000"
    assert resolve_uri("postgresql+psycopg2://u:p@h/d", Path("results")) == "postgresql+psycopg2://u:p@h/d"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("file:///tmp/mlruns", "no longer has"),
        ("./mlruns", "no longer has"),
        ("ftp://host/x", "unknown scheme"),
        ("sqlite://", "names no file"),
        ("http://", "names no host"),
        ("redis://user:secret@host", "unknown scheme"),
    ],
)
def test_a_uri_that_cannot_be_a_store_is_refused_in_one_line(given, says, tmp_path):
    with pytest.raises(TrackingError, match=says) as caught:
        resolve_uri(given, tmp_path)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://u:pa:s/s@h:1/x", "http://u:***@h:1/x"),
        ("https://u:p%40ss@h", "https://u:***@h"),
        ("postgresql://u:p@h:5432/db?sslmode=require", "postgresql://u:***@h:5432/db?sslmode=require"),
        ("http://h/?token=abc&x=1", "http://h/?token=***&x=1"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("http://h:5000", "http://h:5000"),
    ],
)
def test_passwords_are_masked(uri, shown):
    assert mask(uri) == shown


def test_a_link_holds_neither_user_nor_password():
    assert without_credentials("https://user:p%40ss@host:8443/mlflow/") == "https://host:8443/mlflow"
    assert without_credentials("http://host:5000") == "http://host:5000"


def test_files_lie_beside_an_sqlite_store_and_under_results_for_other_databases(tmp_path):
    assert sqlite_path("sqlite:////a/b.db") == Path("/a/b.db")
    assert sqlite_path("postgresql://h/d") is None
    assert artifact_root("sqlite:////a/b.db", tmp_path) == Path("/a/mlartifacts")
    assert artifact_root("postgresql://h/d", tmp_path) == tmp_path.resolve() / "mlartifacts"


def test_only_http_is_a_server():
    assert [is_server(uri) for uri in ("http://h", "https://h", "sqlite:////http", "postgresql://h/d")] == [
        True, True, False, False,
    ]  # fmt: skip
