"""The fork pool with real children: how they train, die, hang and are ended, and what the pool says of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.processes import alive, wait_until

from bench.errors import LaunchError
from bench.experiment.trial import Trial
from bench.machine.environment import worker_environment
from bench.sweep import fork_pool
from bench.sweep.fork_pool import ForkPool

pytestmark = pytest.mark.integration

EXTENSION = """
import os, signal, subprocess, sys, time
import torch
from torch import nn
from lenet.layers import activation

class Act(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.act = act

    def forward(self, x):
        self.act()
        return torch.relu(x)

def leave_a_child_behind():
    child = subprocess.Popen(["sleep", "3600"])
    open(os.path.join(os.path.dirname(__file__), "grandchild"), "w").write(str(child.pid))
    time.sleep(3600)

def leave_words():
    print("last words", file=sys.stderr)
    os._exit(7)

for name, act in {
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL), "exiting": leave_words, "hanging": leave_a_child_behind,
    "raising": lambda: [][0],
}.items():
    activation(name)(lambda act=act: Act(act))
"""


def task(activation="relu", seed=0, extensions=()):
    """One epoch of the smallest training there is."""
    trial = Trial.from_knobs({"epochs": 1, "batch_size": 256}).to_dict()
    trial["variant"]["activation"] = activation
    return {"kind": "train", "trial": trial, "seed": seed, "core": None, "data_root": "/nowhere",
            "extensions": list(extensions)}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("launch")


@pytest.fixture(scope="module")
def extension(folder):
    path = folder / "extension.py"
    path.write_text(EXTENSION)
    return str(path)


@pytest.fixture(scope="module")
def pool(folder, extension):
    """One fork pool for all tests that leave it alive."""
    logs = folder / "logs"
    logs.mkdir()
    with ForkPool(logs) as pool:
        assert pool.load([("digits", {"input_size": 32})], Path("/nowhere"), [extension], download=False) == ""
        yield pool


def gather(pool, count):
    outcomes = {}
    while len(outcomes) < count:
        outcomes |= {outcome.id: outcome for outcome in pool.wait()}
    return outcomes


def test_children_train_at_the_same_time_and_repeatably(pool, folder):
    for number, seed in enumerate((0, 1, 0)):
        pool.submit(number, task(seed=seed), 120)
    outcomes = gather(pool, 3)
    messages = [outcomes[number].message for number in range(3)]
    assert [message["status"] for message in messages] == ["ok"] * 3
    assert messages[0]["history"] == messages[2]["history"] != messages[1]["history"]
    assert not list((folder / "logs").glob("train-*.log")), "logs of the silent stay"


def test_each_end_of_a_child_is_told_apart(pool, folder, extension):
    limits = {"killed": 60, "exiting": 60, "raising": 60, "hanging": 1.5, "relu": 60}
    for number, (activation, limit_s) in enumerate(limits.items()):
        pool.submit(number, task(activation, extensions=[extension]), limit_s)
    outcomes = gather(pool, len(limits))
    ends = {name: outcomes[number] for number, name in enumerate(limits)}
    assert ends["relu"].message["status"] == "ok"
    assert (ends["killed"].cause, ends["killed"].message) == ("killed", None)
    assert (ends["exiting"].cause, ends["exiting"].reason) == (
        "crashed", "the worker ended with exit code 7 and no result: last words",
    )  # fmt: skip
    assert ends["hanging"].cause == "timeout"
    assert "within 1.5 s" in ends["hanging"].reason
    # What a child itself can tell is its message.
    assert ends["raising"].message["status"] == "failed"
    assert ends["raising"].message["reason"] == "IndexError: list index out of range"
    grandchild = int((folder / "grandchild").read_text())
    wait_until(lambda: not alive(grandchild))


def test_last_words_of_an_earlier_worker_explain_nothing(pool, folder, extension):
    log = folder / "logs" / "train-77.log"
    log.write_text("RuntimeError: can't allocate memory\n")
    pool.submit(77, task("killed", extensions=[extension]), 60)
    assert gather(pool, 1)[77].cause == "killed"
    assert log.exists(), "someone else's words are kept"


def test_a_missing_data_set_and_a_bad_extension_are_one_line(pool, tmp_path):
    error = pool.load([("mnist", {"input_size": 32})], tmp_path, [], download=False)
    assert f"mnist is not in {tmp_path}" in error
    (tmp_path / "bad.py").write_text("raise RuntimeError('two\\nlines')")
    assert pool.load([], tmp_path, [str(tmp_path / "bad.py")], download=False) == "RuntimeError: two lines"


def test_a_fork_server_that_was_killed_is_noticed_and_takes_its_children_along(tmp_path, folder, extension):
    (folder / "grandchild").unlink(missing_ok=True)
    with ForkPool(tmp_path) as pool:
        pool.submit(0, task("hanging", extensions=[extension]), 300)
        wait_until(lambda: (folder / "grandchild").exists() and (folder / "grandchild").read_text())
        child = pool._jobs[0].pid
        os.kill(pool._process.pid, signal.SIGKILL)
        with pytest.raises(LaunchError, match="the fork server died: the worker was killed"):
            pool.wait()
        wait_until(lambda: not alive(child))
        with pytest.raises(LaunchError, match="the fork server died"):
            pool.submit(1, task(), 60)
    wait_until(lambda: not alive(int((folder / "grandchild").read_text())))


def test_leaving_ends_everything(tmp_path, folder, extension):
    (folder / "grandchild").unlink(missing_ok=True)
    with ForkPool(tmp_path) as pool:
        pool.submit(0, task("hanging", extensions=[extension]), 300)
        wait_until(lambda: (folder / "grandchild").exists() and (folder / "grandchild").read_text())
        pids = [pool._process.pid, pool._jobs[0].pid, int((folder / "grandchild").read_text())]
    wait_until(lambda: not any(map(alive, pids)))


SCRIPTED_SERVER = """
import json, os, socket, sys

control = socket.socket(fileno=int(sys.argv[1]))
request, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 8)
number = json.loads(request)["id"]

def line(**values):
    return (json.dumps({"id": number, **values}) + "\\n").encode()

pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    os.write(descriptors[0], b'{"status": "ok"}\\n')
    os._exit(0)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it has ended, and its process id is not given to another
started, ended = line(kind="started", pid=pid), line(kind="ended", status=0)
"""
IN_ONE_PACKET = "control.sendall(started + ended)\n"
CLOSE_THE_PIPE = "for descriptor in descriptors: os.close(descriptor)\n"
UNTIL_THE_PARENT_LEAVES = "control.recv(1)\n"


@pytest.fixture
def scripted_server(tmp_path, monkeypatch):
    """Starts a fork server that runs a Python script instead."""

    def start(script):
        monkeypatch.setattr(fork_pool, "FORK_SERVER", [sys.executable, "-c", script])
        return ForkPool(tmp_path)

    return start


@pytest.mark.timeout(60)
def test_a_child_that_ended_before_its_start_was_read_is_not_waited_for(scripted_server):
    with scripted_server(SCRIPTED_SERVER + CLOSE_THE_PIPE + IN_ONE_PACKET + UNTIL_THE_PARENT_LEAVES) as pool:
        pool.submit(5, {}, 0.0)  # over its time when `wait` is called, but it had ended
        (outcome,) = pool.wait()
        assert (outcome.id, outcome.message, outcome.cause) == (5, {"status": "ok"}, "")


@pytest.mark.timeout(60)
def test_a_pipe_that_stays_open_after_its_worker_ended_is_waited_for_until_the_limit(scripted_server):
    with scripted_server(SCRIPTED_SERVER + IN_ONE_PACKET + UNTIL_THE_PARENT_LEAVES) as pool:
        pool.submit(0, {}, 0.05)
        (outcome,) = pool.wait()
        assert outcome.cause == "timeout"


@pytest.mark.timeout(60)
def test_a_worker_whose_end_is_never_reported_is_not_waited_for_for_ever(scripted_server, monkeypatch):
    monkeypatch.setattr(fork_pool, "KILL_LIMIT_S", 0.05)
    with scripted_server(SCRIPTED_SERVER + "control.sendall(started)\n" + UNTIL_THE_PARENT_LEAVES) as pool:
        pool.submit(3, {}, 0.05)
        with pytest.raises(LaunchError, match="did not report the end of task 3"):
            pool.wait()


@pytest.mark.timeout(60)
def test_a_server_that_ended_by_itself_is_not_said_to_be_killed(scripted_server):
    # It closes its socket first and ends later, as an interpreter does that still has to tidy up.
    script = """
import os, sys
os.close(int(sys.argv[1]))
for _ in range(1_000_000):
    pass
raise ImportError("no torch here")
"""
    with (
        scripted_server(script) as pool,
        pytest.raises(LaunchError, match=r"exit code 1 .*ImportError: no torch here"),
    ):
        pool.load([], Path("/nowhere"), [], download=False)


SLOW_CHILD = """
import os
from bench.sweep import fork_server

change_group = os.setpgid
os.setpgid = lambda pid, group: change_group(pid, group) if pid else None  # the child's own call has not come yet
null = os.open(os.devnull, os.O_WRONLY)
pid = fork_server.fork({}, null, null, [])
assert os.getpgid(pid) == pid
os.waitpid(pid, 0)
"""


def test_a_child_leads_its_group_before_anyone_hears_of_it():
    subprocess.run([sys.executable, "-c", SLOW_CHILD], env=worker_environment(1), check=True, timeout=300)
