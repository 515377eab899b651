"""Opening an MLflow store: is it there, and does it hold the suite's experiment?

`open_store` gives a `Store` (a client and an experiment) or raises a `TrackingError` of one line. MLflow is imported
inside functions, because its import takes about 3 s and a machine without it must still run sweeps.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import threading
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from bench.errors import TrackingError
from bench.tracking.failures import PROBE_S, REQUEST_TIMEOUT_S, Patience, T, attempt, first_line, import_mlflow
from bench.tracking.sqlite import initialize_sqlite
from bench.tracking.uri import artifact_root, is_server, mask, sqlite_path, without_credentials

EXPERIMENT = "lenet-bench"
"""One MLflow experiment holds the whole suite: its UI compares runs only within one experiment."""

EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.experiment.primaryMetric.name": "test/accuracy",
    "mlflow.experiment.primaryMetric.greaterIsBetter": "true",
    "mlflow.note.content": "LeNet Bench: one parent run a sweep, one child run a trial.",
}

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # Retries are ours: MLflow's repeat a create_run whose answer was lost, which makes a second run of it.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(REQUEST_TIMEOUT_S),
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


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
    remote = is_server(uri)
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
