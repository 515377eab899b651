"""What the doctor finds: each thing there, missing and broken."""

import os
import socket

import pytest

from bench.cli import doctor
from bench.cli.doctor import (
    Finding,
    examine,
    examine_data,
    examine_quiet,
    examine_results,
    examine_torch,
    examine_tracking,
)
from bench.errors import LaunchError
from lenet.files import FILES


def test_a_whole_examination(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    findings = examine(tmp_path / "data", tmp_path / "results", None)
    topics = [finding.topic for finding in findings]
    assert topics == ["processor", "quiet", "torch", "cuda", "torchvision", "digits", *FILES, "results", "mlflow"]
    by_topic = {finding.topic: finding for finding in findings}
    assert by_topic["torch"].ok
    assert by_topic["torch"].text[0].isdigit()
    assert by_topic["digits"].ok
    assert by_topic["results"].ok
    assert by_topic["mlflow"].text.endswith(f"sqlite:///{tmp_path}/results/mlflow.db")
    assert not list(tmp_path.iterdir()), "looking changed something"
    for finding in findings:
        assert "\n" not in finding.text
        assert finding.ok or finding.remedy, f"{finding.topic}: nothing says how to mend it"


def test_torch_that_does_not_start_is_named(monkeypatch):
    def fail(task):
        raise LaunchError("the worker crashed (SIGILL)")

    monkeypatch.setattr("bench.machine.processes.ask", fail)
    assert examine_torch() == [Finding("torch", False, "the worker crashed (SIGILL)", "make setup")]


def test_cuda_is_named_when_it_is_there(monkeypatch):
    monkeypatch.setattr("bench.machine.processes.ask", lambda task: {"cuda": True, "name": "A device", "reason": ""})
    _, cuda, _ = examine_torch()
    assert cuda == Finding("cuda", True, "A device", "")


def test_data_sets_are_found_where_they_lie(tmp_path):
    for name, files in FILES.items():
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
        found = {finding.topic: finding.ok for finding in examine_data(tmp_path)}
        assert found[name]
    assert all(finding.ok for finding in examine_data(tmp_path))
    next(iter(tmp_path.rglob("train-labels*"))).unlink()
    assert [finding.ok for finding in examine_data(tmp_path)].count(None) == 1


def test_a_noisy_machine_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr("bench.machine.quiet.quiet_warning", lambda: "others use 3.0 cores")
    assert examine_quiet() == Finding("quiet", False, "others use 3.0 cores", "stop it before timing")


def test_results_that_cannot_be_written(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    finding = examine_results(file / "results")
    assert finding.ok is False
    assert "--results" in finding.remedy
    if os.getuid() != 0:  # root may write anywhere
        tmp_path.chmod(0o500)
        assert examine_results(tmp_path / "results").ok is False
        tmp_path.chmod(0o700)


def test_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1 << 20}))
    assert examine_results(tmp_path).remedy == "make room on this disk"


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("nonsense://x", "unknown scheme"),
        ("file:///tmp/x", "file store"),
        ("http://127.0.0.1:99999", "does not answer"),
        ("http://name@:5000", "names no host"),
        ("sqlite:///", "names no file"),
    ],
)
def test_a_store_that_cannot_be(tmp_path, uri, text):
    finding = examine_tracking(uri, tmp_path)
    assert finding.ok is False
    assert text in finding.text
    assert finding.remedy


def test_a_server_that_is_not_there_and_a_password_that_stays_secret(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    finding = examine_tracking(f"http://me:secret@127.0.0.1:{port}", tmp_path)
    assert finding.ok is False
    assert "does not answer" in finding.text
    assert "secret" not in finding.text


def test_without_mlflow_sweeps_still_run(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.machine.fingerprint.version", lambda package: "")
    finding = examine_tracking(None, tmp_path)
    assert (finding.ok, finding.text) == (None, "not installed")
    assert "--no-track" in finding.remedy


def test_the_doctor_examines_and_changes_nothing(tmp_path, call):
    done = call("doctor", "--results", tmp_path / "results", "--data-root", tmp_path / "data")
    assert (done.returncode, done.stderr) == (0, "")
    for topic in ("processor", "torch", "digits", "mnist", "results", "mlflow"):
        assert topic in done.stdout
    assert not list(tmp_path.iterdir())
