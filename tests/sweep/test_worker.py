"""The child process as its command line: one task in, JSON lines out, whatever a library prints."""

import json
import subprocess

import pytest

from bench.machine.environment import child_environment, python_command
from bench.sweep.worker import run

pytestmark = pytest.mark.integration


def work(task, folder):
    return subprocess.run(
        python_command("bench.sweep.worker"), input=json.dumps(task) + "\n", cwd=folder, env=child_environment(),
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def test_the_names_that_extensions_register_come_with_the_others(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\nfrom lenet.layers import activation\nprint('noise')\nactivation('mine')(nn.SiLU)\n"
    )
    done = work({"kind": "choices", "extensions": [str(tmp_path / "mine.py")]}, tmp_path)
    assert done.returncode == 0, done.stderr
    message = json.loads(done.stdout)  # one line: what the extension prints goes elsewhere
    assert message["kind"] == "choices"
    assert {"mine", "relu"} <= set(message["choices"]["activation"])
    assert done.stderr == "noise\n"


def test_an_extension_that_raises_is_a_message_of_one_line(tmp_path):
    (tmp_path / "bad.py").write_text("raise RuntimeError('two\\nlines')")
    done = work({"kind": "choices", "extensions": [str(tmp_path / "bad.py")]}, tmp_path)
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"kind": "failed", "cause": "error", "reason": "RuntimeError: two lines"}


def test_the_probe_says_why_there_is_no_device():
    import torch

    messages = []
    run({"kind": "probe"}, messages.append)
    (message,) = messages
    assert message["cuda"] == torch.cuda.is_available()
    assert bool(message["reason"]) != message["cuda"]


def test_a_task_that_is_not_understood_raises():
    with pytest.raises(ValueError, match="unknown task 'nonsense'"):
        run({"kind": "nonsense"}, print)
