"""What the tests of tracking share: an sqlite store of their own that is made quickly, and a small run."""

import shutil

import pytest
from fakes.tracked_run import make_run

from bench.tracking.sqlite import initialize_sqlite
from bench.tracking.store import quiet_environment
from bench.tracking.uri import resolve_uri


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A store with MLflow's tables, made once: that takes seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    with quiet_environment():
        initialize_sqlite(path)
    return path


@pytest.fixture
def uri(tmp_path, empty_store):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return resolve_uri(None, tmp_path)


@pytest.fixture
def run(tmp_path):
    """Four trials: relu and tanh, of batches of 8 and 64."""
    return make_run(tmp_path / "quick" / "r1")


@pytest.fixture(autouse=True)
def _no_store_of_the_user(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
