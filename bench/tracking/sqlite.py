"""The sqlite file behind a store: made once and whole, and analysed after large writes."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from bench.errors import TrackingError
from bench.machine.locks import lock_if_writable
from bench.tracking.failures import explain, import_mlflow
from bench.tracking.uri import sqlite_path


def initialize_sqlite(path: Path) -> None:
    """Makes MLflow's tables in a new sqlite file; a file that is there is left alone.

    MLflow's own first use takes seconds and breaks the file for good when two processes do it at once. So one process
    does it, under a lock and another name, and the whole file appears by a rename. Raises `TrackingError`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock_if_writable(path.with_name(path.name + ".lock")):
            if path.exists() and path.stat().st_size:
                return
            part = path.with_name(path.name + ".part")
            for leftover in (part, part.with_name(part.name + "-journal"), part.with_name(part.name + "-wal")):
                leftover.unlink(missing_ok=True)
            import_mlflow()
            from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

            artifacts = str(path.parent / "mlartifacts")
            store = SqlAlchemyStore(f"sqlite:///{part}", artifacts)  # type: ignore[no-untyped-call]  # untyped in mlflow
            store.engine.dispose()
            with contextlib.closing(sqlite3.connect(part)) as connection:
                # It stays with the file: readers no longer wait for the writer.
                connection.execute("PRAGMA journal_mode=WAL")
            part.replace(path)
    except TrackingError:
        raise
    except Exception as error:
        raise explain(error, f"sqlite:///{path}") from error


def analyze_sqlite(uri: str) -> None:
    """Gathers the statistics that sqlite plans its queries with (sorting 10,000 runs by a metric: 7.9 s -> 0.3 s).

    Other stores do so by themselves. A busy file is left for the next time.
    """
    if path := sqlite_path(uri):
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as connection,
        ):
            connection.execute("ANALYZE")
