"""An MLflow server on this machine, for looking at a local store: `serve` starts it, waits until it answers, ends it.

It listens on loopback only, and has the job runner off, which otherwise takes eight more processes and four times the
memory. It dies with the process that started it, however that ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import TrackingError
from bench.tracking.sqlite import initialize_sqlite
from bench.tracking.store import probe, quiet_environment
from bench.tracking.uri import HOST, UI_PORT, artifact_root, is_server, mask, sqlite_path

START_S = 180.0
STOP_S = 10.0

ENVIRONMENT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}


@dataclass(frozen=True)
class Server:
    """A running server: its `url`, and its process, which leads a process group of its own."""

    url: str
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait(self) -> int:
        """Waits until the server ends; its exit code."""
        return self.process.wait()

    def stop(self) -> None:
        """Ends the server and all its processes; asks first, and does not ask twice."""
        for number, patience_s in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, None)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience_s)


@contextlib.contextmanager
def serve(uri: str, *, port: int = UI_PORT, results: Path | None = None, start_s: float = START_S) -> Iterator[Server]:
    """Runs a server on a store for as long as the block lasts, and as the thread lives that entered it (Linux).

    **Arguments:**

    - `uri`: of an sqlite file or a database, as `resolve_uri` returns it. A missing sqlite file is made.
    - `port`: on 127.0.0.1; 0 takes a free one.
    - `results`: the results folder, for the artifacts of other databases than sqlite; the current folder if not given.
    - `start_s`: seconds until the server must answer.

    Raises `TrackingError` if the port is taken or the server does not come up.
    """
    if is_server(uri):
        raise TrackingError(f"{mask(uri)} is a server already; open it in a browser")
    if importlib.util.find_spec("mlflow") is None:
        raise TrackingError("mlflow is not installed; install it with `pip install mlflow`")
    port = _free_port(port)
    if database := sqlite_path(uri):
        with quiet_environment():
            initialize_sqlite(database)
    artifacts = artifact_root(uri, results or Path.cwd())
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1",
        "--artifacts-destination", artifacts.as_uri(),
    ]  # fmt: skip
    # By the environment and not by an argument, so that a database's password does not show in the list of processes.
    environment = os.environ | ENVIRONMENT | {"MLFLOW_BACKEND_STORE_URI": uri}
    url = f"http://{HOST}:{port}"
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            preexec_fn=_end_with_parent,
        )  # fmt: skip
        server = Server(url, process)
        try:
            _wait_until_ready(server, log, start_s)
            yield server
        finally:
            server.stop()


def _end_with_parent() -> None:
    """Asks the kernel (Linux) to end this process when its parent dies, as when the terminal is closed.

    By SIGTERM, which `mlflow server` passes on to the process that serves; by SIGKILL that one would stay.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)  # 1 is PR_SET_PDEATHSIG


def _free_port(port: int) -> int:
    """The port, or a free one for 0. Raises `TrackingError` if something listens there."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise TrackingError(
                f"port {port} on {HOST} cannot be used ({error.strerror}); choose another with --port"
            ) from error
        return int(listener.getsockname()[1])


def _wait_until_ready(server: Server, log: Any, start_s: float) -> None:
    deadline = time.monotonic() + start_s
    while True:
        with contextlib.suppress(TrackingError):
            probe(server.url)
            return
        if server.process.poll() is not None:
            log.seek(0)
            lines = log.read().decode(errors="replace").strip().splitlines() or ["it says nothing"]
            raise TrackingError(f"mlflow server ended with code {server.process.returncode}: {mask(lines[-1])[:200]}")
        if time.monotonic() > deadline:
            raise TrackingError(f"mlflow server did not answer on {server.url} within {start_s:g} s")
        time.sleep(0.2)
