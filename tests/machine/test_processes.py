"""Workers as real processes: how they start, answer, die, hang and are ended."""

import json
import os
import sys

import pytest
from fakes.processes import alive, wait_until

from bench.errors import LaunchError
from bench.experiment.trial import Trial
from bench.machine.processes import WorkerProcess, ask

pytestmark = pytest.mark.integration


def test_a_short_question_is_answered():
    assert ask({"kind": "probe"})["kind"] == "probe"


def test_a_question_that_is_not_understood_or_takes_too_long():
    with pytest.raises(LaunchError, match=r"exit code 1.*unknown task 'nonsense'"):
        ask({"kind": "nonsense"})
    with pytest.raises(LaunchError, match="did not answer 'probe' within"):
        ask({"kind": "probe"}, limit_s=0.01)


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
