"""Workers as real processes: how they start, answer, die, hang and are ended, and how their end is explained."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.errors import LaunchError
from bench.experiment.trial import Trial
from bench.machine import processes as launch
from bench.machine.exits import explain_exit
from bench.machine.logs import read_tail
from bench.machine.processes import WorkerProcess, ask
from bench.sweep.fork_pool import ForkServer

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


@pytest.mark.parametrize(
    ("status", "log", "cause", "reason"),
    [
        (-signal.SIGSEGV, "", "crashed", "the worker crashed (SIGSEGV)"),
        (-signal.SIGABRT, "a\nfree(): invalid pointer\n", "crashed", "the worker crashed (SIGABRT): free(): invalid"),
        (-signal.SIGKILL, "", "killed", "for want of memory"),
        (-40, "", "crashed", "the worker crashed (signal 40)"),
        (1, "x\nValueError: bad\n\n", "crashed", "the worker ended with exit code 1 and no result: ValueError: bad"),
        (0, "", "crashed", "the worker ended with exit code 0 and no result"),
        (1, "RuntimeError: [enforce fail] can't allocate memory", "out_of_memory", "can't allocate memory"),
        (1, "torch.OutOfMemoryError: CUDA out of memory. Tried", "out_of_memory", "CUDA out of memory"),
        (-signal.SIGABRT, "terminate called: std::bad_alloc", "out_of_memory", "bad_alloc"),
        (-signal.SIGABRT, "malloc(): memory corruption", "crashed", "SIGABRT"),
        (1, "UserWarning: pin_memory has no effect", "crashed", "exit code 1"),
        (1, "x" * 1000, "crashed", "xxx"),
    ],
)
def test_an_end_is_explained_in_one_line(status, log, cause, reason):
    found = explain_exit(int(status), log)
    assert found[0] == cause
    assert reason in found[1]
    assert "\n" not in found[1]
    assert len(found[1]) < 400


def test_the_tail_of_a_log(tmp_path):
    log = tmp_path / "log"
    assert read_tail(log) == ""
    log.write_bytes(b"x" * 10_000 + b"\xff end")
    assert len(read_tail(log)) == 4096
    assert read_tail(log).endswith("� end")
    assert read_tail(log, 10_001) == " end"
    assert read_tail(log, 10_005) == ""


def test_a_short_question_is_answered():
    assert ask({"kind": "probe"})["kind"] == "probe"


def test_a_question_that_is_not_understood_or_takes_too_long():
    with pytest.raises(LaunchError, match=r"exit code 1.*unknown task 'nonsense'"):
        ask({"kind": "nonsense"})
    with pytest.raises(LaunchError, match="did not answer 'probe' within"):
        ask({"kind": "probe"}, limit_s=0.01)


def alive(pid):
    """Whether a process runs; one that has ended and was not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition, limit_s=30):
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the moment never came"
        time.sleep(0.01)


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
def server(folder, extension):
    """One fork server for all tests that leave it alive."""
    logs = folder / "logs"
    logs.mkdir()
    with ForkServer(logs) as server:
        assert server.prepare([("digits", {"input_size": 32})], Path("/nowhere"), [extension], download=False) == ""
        yield server


def gather(server, count):
    outcomes = {}
    while len(outcomes) < count:
        outcomes |= {outcome.id: outcome for outcome in server.wait()}
    return outcomes


def test_children_train_at_the_same_time_and_repeatably(server, folder):
    for number, seed in enumerate((0, 1, 0)):
        server.submit(number, task(seed=seed), 120)
    assert server.running == 3
    outcomes = gather(server, 3)
    assert server.running == 0
    messages = [outcomes[number].message for number in range(3)]
    assert [message["status"] for message in messages] == ["ok"] * 3
    assert messages[0]["history"] == messages[2]["history"] != messages[1]["history"]
    assert not list((folder / "logs").glob("train-*.log")), "logs of the silent stay"


def test_each_end_of_a_child_is_told_apart(server, folder, extension):
    limits = {"killed": 60, "exiting": 60, "raising": 60, "hanging": 1.5, "relu": 60}
    for number, (activation, limit_s) in enumerate(limits.items()):
        server.submit(number, task(activation, extensions=[extension]), limit_s)
    outcomes = gather(server, len(limits))
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


def test_last_words_of_an_earlier_worker_explain_nothing(server, folder, extension):
    log = folder / "logs" / "train-77.log"
    log.write_text("RuntimeError: can't allocate memory\n")
    server.submit(77, task("killed", extensions=[extension]), 60)
    assert gather(server, 1)[77].cause == "killed"
    assert log.exists(), "someone else's words are kept"


def test_a_missing_data_set_and_a_bad_extension_are_one_line(server, tmp_path):
    error = server.prepare([("mnist", {"input_size": 32})], tmp_path, [], download=False)
    assert f"mnist is not in {tmp_path}" in error
    (tmp_path / "bad.py").write_text("raise RuntimeError('two\\nlines')")
    assert server.prepare([], tmp_path, [str(tmp_path / "bad.py")], download=False) == "RuntimeError: two lines"


def test_a_fork_server_that_was_killed_is_noticed_and_takes_its_children_along(tmp_path, folder, extension):
    (folder / "grandchild").unlink(missing_ok=True)
    with ForkServer(tmp_path) as server:
        server.submit(0, task("hanging", extensions=[extension]), 300)
        wait_until(lambda: (folder / "grandchild").exists() and (folder / "grandchild").read_text())
        child = server._jobs[0].pid
        os.kill(server._process.pid, signal.SIGKILL)
        with pytest.raises(LaunchError, match="the fork server died: the worker was killed"):
            server.wait()
        wait_until(lambda: not alive(child))
        with pytest.raises(LaunchError, match="the fork server died"):
            server.submit(1, task(), 60)
    wait_until(lambda: not alive(int((folder / "grandchild").read_text())))


def test_leaving_ends_everything(tmp_path, folder, extension):
    (folder / "grandchild").unlink(missing_ok=True)
    with ForkServer(tmp_path) as server:
        server.submit(0, task("hanging", extensions=[extension]), 300)
        wait_until(lambda: (folder / "grandchild").exists() and (folder / "grandchild").read_text())
        pids = [server._process.pid, server._jobs[0].pid, int((folder / "grandchild").read_text())]
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
        monkeypatch.setattr(launch, "FORK_SERVER", [sys.executable, "-c", script])
        return ForkServer(tmp_path)

    return start


@pytest.mark.timeout(60)
def test_a_child_that_ended_before_its_start_was_read_is_not_waited_for(scripted_server):
    with scripted_server(SCRIPTED_SERVER + CLOSE_THE_PIPE + IN_ONE_PACKET + UNTIL_THE_PARENT_LEAVES) as server:
        server.submit(5, {}, 0.0)  # over its time when `wait` is called, but it had ended
        (outcome,) = server.wait()
        assert (outcome.id, outcome.message, outcome.cause) == (5, {"status": "ok"}, "")
        assert server.running == 0


@pytest.mark.timeout(60)
def test_a_pipe_that_stays_open_after_its_worker_ended_is_waited_for_until_the_limit(scripted_server):
    with scripted_server(SCRIPTED_SERVER + IN_ONE_PACKET + UNTIL_THE_PARENT_LEAVES) as server:
        server.submit(0, {}, 0.05)
        (outcome,) = server.wait()
        assert outcome.cause == "timeout"
        assert server.running == 0


@pytest.mark.timeout(60)
def test_a_worker_whose_end_is_never_reported_is_not_waited_for_for_ever(scripted_server, monkeypatch):
    monkeypatch.setattr(launch, "KILL_LIMIT_S", 0.05, raising=False)
    with scripted_server(SCRIPTED_SERVER + "control.sendall(started)\n" + UNTIL_THE_PARENT_LEAVES) as server:
        server.submit(3, {}, 0.05)
        with pytest.raises(LaunchError, match="did not report the end of task 3"):
            server.wait()


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
        scripted_server(script) as server,
        pytest.raises(LaunchError, match=r"exit code 1 .*ImportError: no torch here"),
    ):
        server.prepare([], Path("/nowhere"), [], download=False)


SLOW_CHILD = """
import os
from bench import forkserver

change_group = os.setpgid
os.setpgid = lambda pid, group: change_group(pid, group) if pid else None  # the child's own call has not come yet
null = os.open(os.devnull, os.O_WRONLY)
pid = forkserver._fork({}, null, null, [])
assert os.getpgid(pid) == pid
os.waitpid(pid, 0)
"""


def test_a_child_leads_its_group_before_anyone_hears_of_it():
    subprocess.run([sys.executable, "-c", SLOW_CHILD], check=True, timeout=300)


def scripted(tmp_path, script, first=None):
    """A worker process that runs a Python script."""
    return WorkerProcess(first or {}, dict(os.environ), tmp_path / "log", [sys.executable, "-c", script])


ECHO = """
import json, sys
task = json.loads(sys.stdin.readline())
print(json.dumps({"kind": "hello", "task": task}), flush=True)
print(json.dumps({"kind": "heard", "line": sys.stdin.readline().strip()}), flush=True)
print('{"kind": "done"}', flush=True)
"""


def test_a_worker_answers_line_by_line(tmp_path):
    with scripted(tmp_path, ECHO, {"a": 1}) as worker:
        messages = worker.messages(30)
        assert next(messages) == {"kind": "hello", "task": {"a": 1}}
        worker.answer("go")
        assert list(messages) == [{"kind": "heard", "line": "go"}]
        assert worker.failure is None
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    ("script", "cause", "reason"),
    [
        ("import os; os.abort()", "crashed", "SIGABRT"),
        ("raise SystemExit('gone')", "crashed", "exit code 1 and no result: gone"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 2)", "crashed", "signal"),
        ("import time; time.sleep(3600)", "timeout", "silent for 1 s"),
        ("print('{half a line', end='', flush=True)", "crashed", "exit code 0"),
        ("print('noise', flush=True); input()", "crashed", "not JSON"),
        ("print('5', flush=True); input()", "crashed", "not JSON"),
        ("import os; os.write(1, b'\\xff\\xfe\\n'); input()", "crashed", "not JSON"),
        ("raise MemoryError", "out_of_memory", "MemoryError"),
    ],
)
def test_a_worker_in_trouble_says_why(tmp_path, script, cause, reason):
    with scripted(tmp_path, script) as worker:
        assert list(worker.messages(1 if cause == "timeout" else 30)) == []
        assert worker.failure is not None
        assert worker.failure[0] == cause
        assert reason in worker.failure[1]
        pid = worker._process.pid
    assert not alive(pid)


def test_answering_a_dead_worker_is_harmless(tmp_path):
    with scripted(tmp_path, "pass") as worker:
        worker._process.wait()
        for _ in range(3):
            worker.answer("go")
        assert worker.receive(10) is None


def test_leaving_ends_the_workers_children_too(tmp_path):
    script = "import subprocess, time; c = subprocess.Popen(['sleep', '3600']); "
    script += 'print(\'{"kind": "child", "pid": %d}\' % c.pid, flush=True); time.sleep(3600)'
    with scripted(tmp_path, script) as worker:
        child = worker.receive(30)["pid"]
        assert alive(child)
    wait_until(lambda: not alive(child))


def test_an_earlier_log_does_not_explain_a_later_death(tmp_path):
    (tmp_path / "log").write_text("MemoryError\n")
    with scripted(tmp_path, "raise SystemExit(3)") as worker:
        assert worker.receive(30) is None
        assert worker.failure == ("crashed", "the worker ended with exit code 3 and no result")


def test_the_real_timing_worker_times_and_stops_when_told(tmp_path):
    trial = Trial.from_knobs({"data": "synthetic", "batch_size": 1, "channels": 1}).to_dict()
    first = {"kind": "time", "trials": [{"key": "k", "trial": trial}], "phases": ["forward"], "rounds": 50,
             "block_s": 0.002, "order_seed": 1, "cursor": str(tmp_path / "cursor"), "extensions": []}  # fmt: skip
    with WorkerProcess(first, dict(os.environ), tmp_path / "log") as worker:
        built = worker.receive(120)
        assert (built["kind"], built["key"]) == ("trial", "k")
        round_ = worker.receive(60)
        iterations, seconds, cpu_s = round_["samples"]["k"]["forward"]
        assert iterations >= 1
        assert seconds > 0
        assert cpu_s > 0
        worker.answer("stop")
        assert worker.receive(60) == {"kind": "done"}
    assert json.loads((tmp_path / "cursor").read_text()) == 0
