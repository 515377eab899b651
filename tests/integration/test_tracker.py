"""The commands around MLflow: `sync`, `links`, `ui`, `import-pytest-benchmark`, as a person runs them."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.tracked_run import held_trials, make_run, sync

from bench.tracking.uri import resolve_uri

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _no_store_of_the_user(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(ROOT)


@pytest.fixture
def uri(tmp_path):
    return resolve_uri(None, tmp_path)


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "quick" / "r1")


def command(*arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "bench", *map(str, arguments)], capture_output=True, text=True, timeout=300,
        env=os.environ | environment, cwd=ROOT,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


@pytest.mark.parametrize(
    ("given", "says"),
    [("ftp://user:secret@host/x", "unknown scheme"), ("file:///tmp/mlruns", "no longer has"), ("http://", "no host")],
)
def test_a_uri_that_cannot_be_a_store_ends_with_two(tmp_path, run, given, says):
    for arguments in (("sync", run.path), ("links", run.path), ("ui",), ("run", "experiments/quick.toml")):
        done = command(*arguments, "--tracking-uri", given, "--results", tmp_path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert says in done.stderr
        assert "secret" not in done.stderr


def test_sync_of_all_runs_and_what_it_would_do(tmp_path, run, uri):
    make_run(tmp_path / "quick" / "r2", {"init": ["seed", "orthogonal"]}, uid="other")
    for path in (tmp_path / "quick").iterdir():  # as if the files had been made
        (path / "report.html").write_text("")
    done = command("sync", "--dry-run", "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split(": ")[1] for line in done.stdout.splitlines() if "mlflow" in line and "missing" in line] == [
        "4 missing (dry run", "2 missing (dry run",
    ]  # fmt: skip
    assert not (tmp_path / "mlflow.db").exists()
    done = command("sync", "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 sent" in done.stdout
    assert "2 sent" in done.stdout
    assert "no model: the weights of tanh-64 were not kept" in done.stdout
    assert "viewStateShareKey" in command("links", run.path, "--results", tmp_path, "--port", 5009).stdout


def test_a_machine_without_mlflow_syncs_nothing_in_one_line_and_ends_with_two(tmp_path, run):
    (run.path / "report.html").write_text("")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "mlflow.py").write_text("raise ImportError('No module named mlflow')")
    done = command("sync", run.path, "--results", tmp_path, PYTHONPATH=str(hidden))
    assert done.returncode == 2
    assert "pip install mlflow" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_file_of_pytest_benchmark_is_imported_and_one_that_is_none_ends_with_two(tmp_path, uri):
    file = tmp_path / "b.json"
    stats = {"min": 0.001, "max": 0.002, "mean": 0.0015, "stddev": 0.0001, "median": 0.0014, "rounds": 9}
    benchmark = {"name": "test_it", "fullname": "tests/test_x.py::test_it", "group": None, "params": None,
                 "extra_info": {}, "stats": stats}  # fmt: skip
    content = {"datetime": "2025-10-09T08:53:20+00:00", "machine_info": {}, "commit_info": {}}
    file.write_text(json.dumps({**content, "benchmarks": [benchmark]}))
    assert "1 sent" in command("import-pytest-benchmark", file, "--results", tmp_path).stdout
    assert list(held_trials(uri)) == ["test_it"]
    file.write_text("[]")
    done = command("import-pytest-benchmark", file, "--results", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_ui_prints_the_newest_links_and_stops_cleanly(tmp_path, run, uri):
    sync(run, uri)
    port = free_port()
    arguments = [sys.executable, "-m", "bench", "ui", "--results", str(tmp_path), "--port", str(port)]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ui:
        lines = [ui.stdout.readline() for _ in range(7)]
        ui.send_signal(signal.SIGINT)
        rest, errors = ui.communicate(timeout=120)
    assert lines[0].startswith(f"MLflow is at http://127.0.0.1:{port}")
    assert lines[1] == f"newest run: {run.path}\n"
    assert all(f"http://127.0.0.1:{port}/#/" in line for line in lines[2:7])
    assert (rest.splitlines()[-1], errors, ui.returncode) == ("stopped", "", 0)
    assert not listens(port)


@pytest.mark.slow
def test_closing_the_terminal_ends_the_ui_and_its_server(tmp_path):
    port = free_port()
    ui, terminal = pty.fork()
    if ui == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-m", "bench", "ui", "--results", tmp_path, "--port", str(port)])
    said = b""
    while b"MLflow is at" not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)  # the kernel sends SIGHUP to the process that leads the terminal's session
    assert os.waitstatus_to_exitcode(os.waitpid(ui, 0)[1]) == -signal.SIGHUP
    deadline = time.monotonic() + 120
    while listens(port) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not listens(port)
