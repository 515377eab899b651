"""Tracking URIs: which store is meant, and how it may be shown."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from bench.errors import TrackingError

HOST, UI_PORT = "127.0.0.1", 5000
"""Where `lenet-bench ui` starts a server, unless it is told another port; MLflow's own default."""

DATABASES = ("postgresql", "mysql", "mssql")
SCHEMES = (
    "sqlite:////absolute/path/mlflow.db, http://host:5000, https://..., postgresql://..., mysql://... or mssql://..."
)


def resolve_uri(given: str | None, results: Path) -> str:
    """The store to use: `given`, else the variable `MLFLOW_TRACKING_URI`, else `mlflow.db` under `results`.

    Paths of sqlite files come back absolute, so that every folder a command is run from means the same store.
    Raises `TrackingError` for a scheme that MLflow does not have, or no longer has.
    """
    uri = (given or os.environ.get("MLFLOW_TRACKING_URI", "")).strip()
    if not uri:
        return f"sqlite:///{(results / 'mlflow.db').resolve()}"
    scheme = uri.split(":", 1)[0].split("+", 1)[0].lower() if ":" in uri else ""
    if scheme == "sqlite":
        path = re.sub(r"^sqlite(\+\w+)?://", "", uri)
        if len(path) < 2 or not path.startswith("/"):
            raise TrackingError(f"tracking URI {mask(uri)!r} names no file; write sqlite:////absolute/path/mlflow.db")
        return f"sqlite:///{Path(path[1:]).resolve()}"
    if scheme in ("http", "https"):
        if not urlsplit(uri).hostname:
            raise TrackingError(f"tracking URI {mask(uri)!r} names no host; write http://host:5000")
        return uri.rstrip("/")
    if scheme in DATABASES:
        return uri
    if scheme in ("", "file"):
        raise TrackingError(
            f"tracking URI {uri!r} is a file store, which MLflow no longer has; take sqlite:////absolute/path/mlflow.db"
            " (and `mlflow migrate-filestore` for what is in it)"
        )
    raise TrackingError(f"tracking URI {mask(uri)!r} has an unknown scheme; one of: {SCHEMES}")


def mask(uri: str) -> str:
    """The URI as it may be shown: with `***` for the password."""
    # Up to the last @: a password may hold a bare one, or a slash.
    hidden = re.sub(r"(://[^/@:\s]*):\S*@", r"\1:***@", uri)
    return re.sub(r"(?i)([?&](?:password|token|sslpassword)=)[^&]*", r"\1***", hidden)


def without_credentials(uri: str) -> str:
    """An http(s) URI as it may stand in a link: neither user nor password."""
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def is_server(uri: str) -> bool:
    """Is the store behind an MLflow server, which has a UI of its own?"""
    return uri.startswith(("http://", "https://"))


def sqlite_path(uri: str) -> Path | None:
    """The file behind an sqlite URI; None for any other store."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def artifact_root(uri: str, results: Path) -> Path:
    """Where a store without a server keeps files: `mlartifacts` beside the sqlite file, else under `results`."""
    database = sqlite_path(uri)
    return (database.parent if database else results.resolve()) / "mlartifacts"
