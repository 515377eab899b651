"""The tracking process as a sweep uses it, and the commands around it: real processes, real stores."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.tracked_run import make_run

from bench.errors import TrackingError
from bench.records.run import Run
from bench.tracking.champion import beats
from bench.tracking.client import Tracker
from bench.tracking.failures import import_mlflow
from bench.tracking.store import quiet_environment
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


def sweeps(uri):
    with quiet_environment():
        client = import_mlflow().MlflowClient(uri)
        return [(one.info.status, one.data) for one in client.search_runs(["1"], "tags.`bench.role` = 'sweep'")]


def command(*arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "bench", *map(str, arguments)], capture_output=True, text=True, timeout=300,
        env=os.environ | environment, cwd=ROOT,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def test_the_sweeps_run_is_there_before_its_trials_and_finished_after(tmp_path, uri):
    run = make_run(tmp_path / "quick" / "r1", records=False)
    with Tracker(uri, tmp_path) as tracker:
        tracker.open(run)
        tracker.settle(120)
        [(status, data)] = sweeps(uri)
        assert status == "RUNNING"
        assert f":{os.getpid()}:" in data.tags["bench.writer"]
        for record in make_run(tmp_path / "quick" / "r2").records():
            run.append(record)
        seen = []
        done = tracker.sync(run, model=False, on_progress=lambda *place: seen.append(place))
        assert done.text == "4 sent"
        assert seen[-1] == (4, 4)
        assert sum("http://127.0.0.1:5000/#/experiments/1/" in line for line in done.links) == 4
    [(status, data)] = sweeps(uri)
    assert (status, data.metrics["sweep/ok"]) == ("FINISHED", 4)


def test_a_sweep_that_is_killed_is_killed_in_mlflow_too(tmp_path, uri):
    run = make_run(tmp_path / "quick" / "r1", records=False)
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from bench.records.run import Run; from bench.tracking.client import Tracker\n"
        "tracker = Tracker(sys.argv[2], Path(sys.argv[3])); tracker.open(Run.open(Path(sys.argv[1])))\n"
        "tracker.settle(120); print(tracker._process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    sweep = subprocess.Popen(
        [sys.executable, "-c", code, str(run.path), uri, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with sweep:
        worker = int(sweep.stdout.readline())
        assert sweep.wait() == -signal.SIGKILL
        descriptor = os.pidfd_open(worker) if Path(f"/proc/{worker}").exists() else None
        if descriptor is not None:  # readable once the worker has ended
            import select

            assert select.select([descriptor], [], [], 60)[0]
            os.close(descriptor)
    assert [status for status, _ in sweeps(uri)] == ["KILLED"]


def test_a_worker_that_dies_is_one_line_and_the_next_sync_mends_it(tmp_path, uri, run):
    with Tracker(uri, tmp_path) as tracker:
        tracker.settle()
        os.kill(tracker._process.pid, signal.SIGKILL)
        with pytest.raises(TrackingError, match=r"killed.*records are safe.*lenet-bench sync") as caught:
            tracker.sync(run, model=False)
    assert "\n" not in str(caught.value)
    with Tracker(uri, tmp_path) as tracker:
        assert tracker.sync(run, model=False).text == "4 sent"
        assert tracker.sync(run, dry_run=True).text == "4 in agreement (dry run: nothing was written)"


def test_a_worker_that_is_not_ready_in_time_does_not_hold_up_the_timing_and_another_syncs(tmp_path, uri, run):
    with Tracker(uri, tmp_path) as tracker:
        tracker.open(run)
        slow = tracker._process.pid
        tracker.settle(0)
        assert not Path(f"/proc/{slow}").exists()
        assert tracker.sync(run, model=False).text == "4 sent"
        assert tracker._process.pid != slow
    assert [status for status, _ in sweeps(uri)] == ["FINISHED"]


def test_a_server_that_never_answers_is_one_line(tmp_path, run):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with Tracker(f"http://127.0.0.1:{listener.getsockname()[1]}", tmp_path) as tracker:
            tracker.open(run)
            tracker.settle(60)
            with pytest.raises(TrackingError, match=r"does not answer.*lenet-bench sync"):
                tracker.sync(run)


# --- the model


@pytest.fixture
def trained(tmp_path):
    """A run whose best trial left weights: those of a fresh network."""
    import torch

    from lenet.networks import build
    from lenet.variant import Variant

    run = make_run(tmp_path / "quick" / "r1")
    best = run.records()[-1]
    (run.path / "weights").mkdir()
    network = build(Variant(**best.trial["variant"]), seed=1)
    torch.save(network.state_dict(), run.path / "weights" / f"0.908000000_{best.key}_1.pt")
    return run


LOAD = """
import sys, warnings; warnings.simplefilter("ignore")
import mlflow, numpy as np
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/lenet-digits@champion")
print(model.predict(np.zeros((5, 1, 32, 32), dtype=np.float32)).shape, model.metadata.signature is not None)
print("bench" in sys.modules or "lenet" in sys.modules)
"""


def test_the_best_trial_is_a_model_that_loads_without_this_suite_and_twice_is_once(tmp_path, uri, trained):
    with Tracker(uri, tmp_path) as tracker:
        first = tracker.sync(trained).model
        assert first == "model of tanh-64 (seed 1): registered as lenet-digits@champion, version 1"
        assert tracker.sync(trained).model == "model of tanh-64 (seed 1): is lenet-digits@champion"
    with quiet_environment():
        client = import_mlflow().MlflowClient(uri)
        [model] = client.search_logged_models(["1"])
        [version] = client.search_model_versions("name = 'lenet-digits'")
        run = client.get_run(model.source_run_id)
    assert run.info.run_name == "tanh-64"
    assert model.tags["bench.data"] == "digits:0123456789abcdef"
    assert json.loads(version.tags["bench.accuracies"]) == {"0": 0.903, "1": pytest.approx(0.913)}
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, uri], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300
    )
    assert done.stdout.split("\n")[:2] == ["(5, 10) True", "False"], done.stderr[-800:]


def test_a_model_that_is_no_longer_the_best_goes_unless_it_is_registered(tmp_path, uri, trained):
    import torch

    def models():
        with quiet_environment():
            client = import_mlflow().MlflowClient(uri)
            return {model.model_id for model in client.search_logged_models(["1"])}

    held = []
    with Tracker(uri, tmp_path) as tracker:
        for number in range(3):
            [file] = (trained.path / "weights").glob("*.pt")
            weights = torch.load(file)
            torch.save({name: value + number for name, value in weights.items()}, file)  # trained anew
            tracker.sync(trained)
            held.append(models())
    champion, second = held[0], held[1] - held[0]
    assert [len(one) for one in held] == [1, 2, 2]
    assert champion < held[2]
    assert not second & held[2]


class Candidate:
    def __init__(self, accuracies, data="digits:1"):
        self.accuracies, self.data = accuracies, data


@pytest.mark.parametrize(
    ("own", "holder", "data", "says"),
    [
        ([0.91, 0.92, 0.93], [0.90, 0.91, 0.921], "digits:1", ""),
        ([0.91, 0.92, 0.93], [0.90, 0.93, 0.91], "digits:1", "the difference is"),
        ([0.90, 0.91, 0.92], [0.91, 0.92, 0.93], "digits:1", "the difference is -1.00"),
        ([0.91, 0.92, 0.93], [0.91, 0.92, 0.93], "digits:1", "the difference is +0.00"),
        ([0.99], [0.5, 0.5], "digits:1", "fewer than two seeds"),
        ([0.99, 0.99, 0.98], [0.5, 0.5, 0.51], "digits:2", "other data"),
    ],
)
def test_only_a_significant_difference_takes_the_title(own, holder, data, says):
    accuracies = {str(seed): value for seed, value in enumerate(own)}
    tags = {"bench.data": data, "bench.accuracies": json.dumps({str(s): v for s, v in enumerate(holder)})}
    reason = beats(Candidate(accuracies), tags)
    assert reason.startswith(says) if says.startswith("the") else says in reason
    assert bool(reason) == bool(says)


# --- commands


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


BENCHMARKS = {
    "datetime": "2025-10-09T08:53:20+00:00",
    "machine_info": {"node": "here", "cpu": {"brand_raw": "a processor"}},
    "commit_info": {"id": "0123abc", "branch": "main", "dirty": False},
    "benchmarks": [
        {"name": f"test_it[{size}]", "fullname": f"tests/test_x.py::test_it[{size}]", "group": None,
         "params": {"size": size}, "extra_info": {"what, (ever)": "x"},
         "stats": {"min": 0.001, "max": 0.002, "mean": 0.0015, "stddev": 0.0001, "median": 0.0014, "iqr": 0.0002,
                   "rounds": 9, "iterations": 1, "ops": 666.7, "q1": 0.0013, "q3": float("inf")}}
        for size in (1, 2)
    ],
}  # fmt: skip


def test_results_of_pytest_benchmark_stand_beside_and_twice_adds_nothing(tmp_path, uri):
    file = tmp_path / "b.json"
    file.write_text(json.dumps(BENCHMARKS))
    assert "2 sent" in command("import-pytest-benchmark", file, "--results", tmp_path).stdout
    assert "2 unchanged" in command("import-pytest-benchmark", file, "--results", tmp_path).stdout
    with quiet_environment():
        client = import_mlflow().MlflowClient(uri)
        runs = client.search_runs(["1"], "tags.`bench.role` = 'trial'")
    assert sorted(one.info.run_name for one in runs) == ["test_it[1]", "test_it[2]"]
    assert runs[0].data.metrics["time/median_ms"] == pytest.approx(1.4)
    assert "time/q3_ms" not in runs[0].data.metrics
    assert runs[0].data.params["info what_ _ever_"] == "x"
    assert runs[0].data.tags["mlflow.source.git.commit"] == "0123abc"
    assert [status for status, _ in sweeps(uri)] == ["FINISHED"]
    file.write_text("[]")
    done = command("import-pytest-benchmark", file, "--results", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_ui_prints_the_newest_links_and_stops_cleanly(tmp_path, run):
    (run.path / "report.html").write_text("")
    assert command("sync", run.path, "--results", tmp_path).returncode == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ui = subprocess.Popen(
        [sys.executable, "-m", "bench", "ui", "--results", str(tmp_path), "--port", str(port)], cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with ui:
        lines = [ui.stdout.readline() for _ in range(7)]
        ui.send_signal(signal.SIGINT)
        rest, errors = ui.communicate(timeout=60)
    assert lines[0].startswith(f"MLflow is at http://127.0.0.1:{port}")
    assert lines[1] == f"newest run: {run.path}\n"
    assert all(f"http://127.0.0.1:{port}/#/" in line for line in lines[2:7])
    assert (rest.splitlines()[-1], errors, ui.returncode) == ("stopped", "", 0)
    with pytest.raises(ConnectionRefusedError), socket.socket() as probe:
        probe.connect(("127.0.0.1", port))
    assert Run.open(run.path).records()
