"""Starting a server and what stands in its way. What a running one holds: tests/integration/test_mlflow_server.py."""

import http.client
import importlib.util
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from bench.errors import TrackingError
from bench.tracking.server import serve


def listens(url):
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    try:
        connection.connect()
    except ConnectionRefusedError:
        return False
    connection.close()
    return True


def is_running(pid):
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def refusal(uri, **options):
    """The line that says why no server was started."""
    with pytest.raises(TrackingError) as caught, serve(uri, **options):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_server_needs_no_other_server():
    assert refusal("http://u:secret@host:5000") == "http://u:***@host:5000 is a server already; open it in a browser"


def test_a_port_that_is_taken_is_named(uri):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert refusal(uri, port=port).startswith(f"port {port} on 127.0.0.1 cannot be used")


def test_a_machine_without_mlflow_is_told_how_to_get_it(uri, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install mlflow" in refusal(uri)


def test_a_server_that_does_not_come_up_is_ended_and_says_why(uri, tmp_path, monkeypatch):
    assert "did not answer on http://127.0.0.1:" in refusal(uri, port=0, start_s=0)
    (tmp_path / "mlflow.py").write_text("raise SystemExit('it cannot: postgresql://u:secret@host')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert refusal(uri, port=0) == "mlflow server ended with code 1: it cannot: postgresql://u:***@host"


def test_a_server_is_on_loopback_with_few_processes_and_ends_with_all_of_them(uri):
    with serve(uri, port=0) as server:
        children = [int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]
        assert 1 <= len(children) <= 2
        environment = Path(f"/proc/{server.pid}/environ").read_bytes()
        assert b"MLFLOW_DISABLE_TELEMETRY=true" in environment
        assert b"MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false" in environment
        # A database's password would show in the list of processes.
        assert "--backend-store-uri" not in Path(f"/proc/{server.pid}/cmdline").read_text()
        os.kill(server.pid, signal.SIGKILL)  # even then its children must not stay
        assert server.wait() == -signal.SIGKILL
    deadline = time.monotonic() + 120
    while any(map(is_running, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, children))
    while listens(server.url) and time.monotonic() < deadline:  # the kernel closes what a killed process had open
        time.sleep(0.05)
    assert not listens(server.url)
