"""The fingerprint, the workers' environment and the look at whether the machine is quiet."""

import json
import os
import subprocess
import sys

import pytest

from bench.machine import fingerprint as machine


def test_the_fingerprint_is_plain_complete_and_repeatable():
    first = machine.fingerprint()
    assert json.loads(json.dumps(first)) == first
    assert first == machine.fingerprint()
    assert set(first) == {
        "id", "hostname", "cpu", "cores", "memory_bytes", "kernel", "python", "torch", "torchvision", "gpu", "driver",
        "governor", "environment",
    }  # fmt: skip
    assert first["cpu"]
    assert first["cores"] >= 1
    assert first["memory_bytes"] > 1 << 28
    assert first["torch"].partition("+")[0].count(".") == 2
    assert set(first["environment"]) == set(machine.allocator_environment())


def test_the_id_is_of_the_hardware_alone(monkeypatch):
    here = machine.fingerprint()["id"]
    monkeypatch.setattr(machine.socket, "gethostname", lambda: "elsewhere")
    monkeypatch.setattr(machine, "version", lambda package: "9.9")
    assert machine.fingerprint()["id"] == here
    monkeypatch.setattr(machine, "cpu_name", lambda: "another processor")
    assert machine.fingerprint()["id"] != here


def test_the_fingerprint_counts_the_cores_that_may_be_used():
    if not hasattr(os, "sched_setaffinity") or machine.usable_cores() < 2:
        pytest.skip("one core, or a system without affinities")
    script = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from bench import machine; "
    script += "print(machine.fingerprint()['cores'], machine.fingerprint()['id'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    cores, identity = done.stdout.split()
    assert cores == "1"
    assert identity != machine.fingerprint()["id"]


def test_a_workers_environment_is_pinned_and_keeps_the_rest(monkeypatch):
    monkeypatch.setenv("SOMETHING_ELSE", "kept")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    environment = machine.worker_environment(3)
    assert environment["SOMETHING_ELSE"] == "kept"
    assert {environment[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} == {"3"}
    assert int(environment["MALLOC_MMAP_THRESHOLD_"]) > 1 << 30
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_what_cannot_be_had_is_empty(tmp_path):
    assert machine.version("no-such-package") == ""
    assert machine.read_text(str(tmp_path / "nothing")) == ""
    assert machine.read_text(str(tmp_path)) == ""
    assert machine.run_command("no-such-command") == ""
    assert machine.run_command("false") == ""
    assert machine.git_state(tmp_path) == {"commit": "", "branch": "", "dirty": False}


def test_a_hanging_command_is_given_up(monkeypatch):
    monkeypatch.setattr(machine, "COMMAND_LIMIT_S", 0.2)
    assert machine.run_command("sleep", "60") == ""


def test_the_state_of_a_checkout(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q", "-b", "trunk")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-qm", "first")
    state = machine.git_state(tmp_path)
    assert (len(state["commit"]), state["branch"], state["dirty"]) == (40, "trunk", False)
    (tmp_path / "stray").write_text("untracked files do not count")
    assert machine.git_state(tmp_path) == state
    (tmp_path / "file").write_text("two")
    assert machine.git_state(tmp_path) == state | {"dirty": True}


def ticks(user=0, idle=0, steal=0):
    return [user, 0, 0, idle, 0, 0, 0, steal]


@pytest.mark.parametrize(
    ("spent", "warning"),
    [
        (ticks(idle=200), None),
        (ticks(user=10, idle=190), None),
        (ticks(user=150, idle=50), "other processes use 1.5 cores"),
        (ticks(idle=150, steal=50), "the host takes 0.5 cores away"),
    ],
)
def test_what_others_use_is_counted_in_cores(monkeypatch, spent, warning):
    """In one second of two cores, at 100 ticks a second."""
    readings = iter([ticks(), spent])
    monkeypatch.setattr(machine, "processor_ticks", lambda: next(readings))
    monkeypatch.setattr(machine.os, "sysconf", lambda name: 100)
    monkeypatch.setattr(machine.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(machine, "SAMPLE_S", 1.0)
    monkeypatch.setattr(machine.busy_cores, "__defaults__", (1.0,))
    found = machine.quiet_warning()
    assert found is None if warning is None else warning in found


def test_a_system_that_does_not_say_is_not_warned_about(monkeypatch):
    monkeypatch.setattr(machine, "processor_ticks", lambda: None)
    monkeypatch.setattr(machine.time, "sleep", lambda seconds: None)
    assert machine.quiet_warning() is None


def test_a_busy_process_is_noticed():
    if machine.processor_ticks() is None:
        pytest.skip("no /proc/stat here")
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        used, _ = machine.busy_cores(0.3)
    finally:
        busy.kill()
        busy.wait()
    assert used > 0.3  # of one core; the machine may give less than all of it, and others may be at work too
