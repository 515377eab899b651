"""The fingerprint: what it holds, what it depends on, and what cannot be known."""

import json
import os
import subprocess
import sys

import pytest

from bench.machine import fingerprint as machine
from bench.machine.environment import allocator_environment


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
    assert set(first["environment"]) == set(allocator_environment())


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
    script = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    script += "from bench.machine.fingerprint import fingerprint; f = fingerprint(); print(f['cores'], f['id'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    cores, identity = done.stdout.split()
    assert cores == "1"
    assert identity != machine.fingerprint()["id"]


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
