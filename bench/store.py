"""Opening an MLflow store: which one, is it there, and what went wrong in one line.

A tracking URI goes in; an open `Store` (client and experiment) or a `TrackingError` comes out. Nothing is logged here
and no record is read: `bench.tracking` does that. MLflow is imported inside functions, because its import takes about
3 s and a machine without it must still run sweeps.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import logging
import math
import os
import re
import sqlite3
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from bench.errors import TrackingError as TrackingError

T = TypeVar("T")

EXPERIMENT = "lenet-bench"
"""One MLflow experiment holds the whole suite: its UI compares runs only within one experiment."""

EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.experiment.primaryMetric.name": "test/accuracy",
    "mlflow.experiment.primaryMetric.greaterIsBetter": "true",
    "mlflow.note.content": "LeNet Bench: one parent run a sweep, one child run a trial.",
}
DATABASES = ("postgresql", "mysql", "mssql")
SCHEMES = (
    "sqlite:////absolute/path/mlflow.db, http://host:5000, https://..., postgresql://..., mysql://... or mssql://..."
)
PROBE_S = 2.0
REQUEST_TIMEOUT_S = 15

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # Retries are ours: MLflow's repeat a create_run whose answer was lost, which makes a second run of it.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(REQUEST_TIMEOUT_S),
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


@dataclass
class Patience:
    """How long failing calls may be waited for, over all calls together. `left_s` counts down."""

    left_s: float = PROBE_S


@dataclass(frozen=True)
class Store:
    """An open store.

    **Arguments:**

    - `uri`: where; `client`: its `MlflowClient`; `experiment_id`: of `EXPERIMENT`, "" where it is not made yet.
    - `version`: MLflow's version on the other side, "" if it is unknown.
    - `patience`: shared by all calls.
    """

    uri: str
    client: Any
    experiment_id: str
    version: str
    patience: Patience = field(default_factory=Patience)

    def call(self, action: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Runs `action`, again where the failure may pass, until the patience is spent. It must be repeatable.

        Raises `TrackingError`.
        """
        return attempt(lambda: action(*arguments, **named), self.uri, self.patience)


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


def sqlite_path(uri: str) -> Path | None:
    """The file behind an sqlite URI; None for any other store."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def artifact_root(uri: str, results: Path) -> Path:
    """Where a store without a server keeps files: `mlartifacts` beside the sqlite file, else under `results`."""
    database = sqlite_path(uri)
    return (database.parent if database else results.resolve()) / "mlartifacts"


@contextlib.contextmanager
def open_store(uri: str, results: Path, *, create: bool = True, patience_s: float = PROBE_S) -> Iterator[Store]:
    """Opens a store for as long as the block lasts; makes the sqlite file and the experiment where they are missing.

    **Arguments:**

    - `uri`: as `resolve_uri` returns it.
    - `results`: the results folder, for artifacts of a database without a server.
    - `create`: False leaves everything as it is; a store without the experiment then has `experiment_id` "".
    - `patience_s`: seconds to wait in all for calls that fail. A server that is not there at all costs `PROBE_S` at
      most.

    Raises `TrackingError`.
    """
    remote = uri.startswith(("http://", "https://"))
    version = probe(uri, min(PROBE_S, patience_s)) if remote else ""
    with quiet_environment():
        mlflow = import_mlflow()
        if database := sqlite_path(uri):
            initialize_sqlite(database)
        patience = Patience(patience_s)
        client = attempt(lambda: mlflow.MlflowClient(tracking_uri=uri), uri, patience)
        location = None if remote else (artifact_root(uri, results) / EXPERIMENT).as_uri()
        experiment_id = attempt(lambda: _find_experiment(client, uri, location, create), uri, patience)
        yield Store(uri, client, experiment_id, version or mlflow.__version__, patience)


@contextlib.contextmanager
def quiet_environment() -> Iterator[None]:
    """Sets what MLflow reads from the environment, and puts it back. Deprecations inside MLflow are not ours to
    show.
    """
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def import_mlflow() -> Any:
    """The module, with its log quiet. Raises `TrackingError` where it is not installed."""
    try:
        import mlflow
    except ImportError as error:
        raise TrackingError(
            f"mlflow cannot be imported ({first_line(error)}); install it with `pip install mlflow`, "
            "or run with --no-track"
        ) from error
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow


def _find_experiment(client: Any, uri: str, location: str | None, create: bool) -> str:
    """The id of `EXPERIMENT`. Two processes may ask at once: the slower one finds what the faster one made."""
    for _ in range(2):
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            raise TrackingError(
                f"experiment '{EXPERIMENT}' was deleted in {mask(uri)}; bring it back with"
                f" `mlflow experiments restore --experiment-id {experiment.experiment_id}`"
            )
        if experiment is not None or not create:
            return "" if experiment is None else str(experiment.experiment_id)
        try:
            return str(client.create_experiment(EXPERIMENT, artifact_location=location, tags=EXPERIMENT_TAGS))
        except Exception as error:
            if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                raise
    raise TrackingError(f"experiment '{EXPERIMENT}' can neither be found nor made in {mask(uri)}")


def probe(uri: str, limit_s: float = PROBE_S) -> str:
    """Asks an http(s) server whether it is there; its MLflow version, or "" where it does not say.

    Returns within `limit_s`, whatever the name resolution or the network does. Raises `TrackingError`.
    """
    answer: list[str | Exception] = []
    thread = threading.Thread(target=lambda: answer.append(_ask(uri, limit_s)), daemon=True)
    thread.start()
    thread.join(limit_s)
    if not answer:
        raise TrackingError(f"{mask(uri)} does not answer (waited {limit_s:g} s)")
    if isinstance(answer[0], Exception):
        raise TrackingError(f"{mask(uri)} does not answer ({first_line(answer[0])})") from answer[0]
    return answer[0]


def _ask(uri: str, limit_s: float) -> str | Exception:
    """GET /version. Any answer of HTTP, a refusal too, shows that something is there; MLflow's own calls say the
    rest.
    """
    request = urllib.request.Request(without_credentials(uri) + "/version")
    user, password = urlsplit(uri).username, urlsplit(uri).password
    user = unquote(user) if user else os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    password = unquote(password) if password else os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    if user:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=limit_s) as response:
            text = response.read(64).decode(errors="replace").strip()
    except urllib.error.HTTPError as error:
        return error if error.code in (502, 503, 504) else ""
    except Exception as error:
        return error
    return text if re.fullmatch(r"\d+\.\d+[\w.]*", text) else ""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file `path`, waiting for whoever has it. Where the folder cannot be written there is no lock."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def initialize_sqlite(path: Path) -> None:
    """Makes MLflow's tables in a new sqlite file; a file that is there is left alone.

    MLflow's own first use takes seconds and breaks the file for good when two processes do it at once. So one process
    does it, under a lock and another name, and the whole file appears by a rename. Raises `TrackingError`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(path.name + ".lock")):
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


def attempt(action: Callable[[], T], uri: str, patience: Patience) -> T:
    """Runs `action`; where it fails in a way that may pass, waits (0.1 s, doubling to 2 s) and runs it again.

    Failed calls and the waits between them are taken from `patience`, and no request may take longer than what is left.
    Raises `TrackingError` for other failures, and when `patience` is spent.
    """
    delay_s = 0.1
    while True:
        limit_s = min(REQUEST_TIMEOUT_S, max(1, math.ceil(patience.left_s)))
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(limit_s)
        began = time.monotonic()
        try:
            return action()
        except TrackingError:
            raise
        except Exception as error:
            patience.left_s -= time.monotonic() - began
            if not may_pass(error) or patience.left_s <= 0:
                raise explain(error, uri) from error
        wait_s = min(delay_s, patience.left_s)
        patience.left_s -= wait_s
        delay_s = min(2 * delay_s, 2.0)
        time.sleep(wait_s)


def may_pass(error: Exception) -> bool:
    """Is this a failure of the moment: a lost connection, a 5xx, a time-out, a locked sqlite file?"""
    text = str(error)
    return (
        ("API request to" in text and ("failed with exception" in text or "timeout exception" in text))
        or getattr(error, "error_code", "")
        in ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED")
        or "not in a valid JSON format" in text
        or "database is locked" in text
        or type(error).__module__.startswith(("requests.", "urllib3."))
    )


CAUSES = (
    (r"Invalid Host header", "the server does not take this host name; start it with --allowed-hosts"),
    (
        r"UNAUTHENTICATED|PERMISSION_DENIED|error code 40[13]|not authenticated|Permission denied to",
        "the server refuses these credentials; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    ),
    (
        r"out-of-date database schema|Can't locate revision",
        "the store was written by another version of MLflow; use that version, or `mlflow db upgrade` after a backup",
    ),
    (r"readonly database|Read-only file system", "the file is read-only"),
    (r"unable to open database file|Permission denied", "the file cannot be opened or written"),
    (r"file is not a database|malformed", "the file is no intact sqlite database"),
    (r"database or disk is full|No space left", "the disk is full"),
    (
        r"mlflow-artifacts URI was supplied",
        "the files of this store go through its server; give the server's http:// address as the tracking URI",
    ),
    (r"No module named", "a database driver is not installed"),
    (r"password authentication failed|Access denied for user", "the database refuses these credentials"),
    (
        r"too many \d+ error responses|valid JSON format|failed with error code 404",
        "the server answers, but not as MLflow does",
    ),
    (r"API request to|Connection refused|could not connect", "the server stopped answering"),
)


def explain(error: Exception, uri: str) -> TrackingError:
    """The failure as a `TrackingError` of one line, without passwords."""
    text = str(error)
    for pattern, meaning in CAUSES:
        if re.search(pattern, f"{getattr(error, 'error_code', '')} {text}"):
            detail = f" ({first_line(error)})" if meaning.startswith("a database driver") else ""
            return TrackingError(f"{mask(uri)}: {meaning}{detail}")
    line = first_line(error)
    password = urlsplit(uri).password
    return TrackingError(f"{mask(uri)}: {line.replace(password, '***') if password else line}")


def first_line(error: Exception) -> str:
    """What an exception says, in one line of at most 200 characters."""
    lines = (str(error) or type(error).__name__).strip().splitlines()
    return mask(lines[0])[:200]
