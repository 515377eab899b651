import sqlite3
import threading
from contextlib import closing

import pytest

from bench.errors import TrackingError
from bench.tracking.sqlite import analyze_sqlite, initialize_sqlite
from bench.tracking.store import quiet_environment


def names(path):
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_a_store_is_made_once_by_whoever_comes_first(tmp_path):
    path = tmp_path / "new" / "mlflow.db"
    path.parent.mkdir()
    path.with_name("mlflow.db.part").write_text("left by a process that was killed")
    with quiet_environment():
        makers = [threading.Thread(target=initialize_sqlite, args=[path]) for _ in range(3)]
        for maker in makers:
            maker.start()
        for maker in makers:
            maker.join()
    assert {"runs", "metrics", "experiments"} <= names(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert not list(path.parent.glob("*.part*"))


def test_a_file_that_is_there_is_left_alone(tmp_path):
    path = tmp_path / "mlflow.db"
    path.write_text("somebody's")
    initialize_sqlite(path)
    assert path.read_text() == "somebody's"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingError, match="sqlite") as caught:
        initialize_sqlite(tmp_path / "file" / "mlflow.db")
    assert "\n" not in str(caught.value)


def test_sqlite_gathers_its_statistics_and_other_stores_and_busy_files_are_left(uri, tmp_path):
    path = tmp_path / "mlflow.db"
    assert "sqlite_stat1" not in names(path)
    analyze_sqlite("http://127.0.0.1:9")
    analyze_sqlite(f"sqlite:///{tmp_path}/not/there.db")
    analyze_sqlite(uri)
    assert "sqlite_stat1" in names(path)
