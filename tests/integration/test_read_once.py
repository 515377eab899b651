"""A sweep's records are read from the disk once, by all of its processes together."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

WATCH = """
import os, sys

def watch(event, arguments):
    if event == "open" and str(arguments[0]).endswith("records.jsonl") and os.path.exists(arguments[0]):
        if arguments[1] and "r" in arguments[1]:
            with open(os.environ["READS"], "a") as reads:
                reads.write(f"{os.getpid()}\\n")

sys.addaudithook(watch)
"""

EXPERIMENT = """
name = "once"
seeds = 1
[base]
data = "digits"
epochs = 1
batch_size = 64
[axes]
activation = ["relu", "tanh"]
[timing]
enabled = false
"""


@pytest.mark.slow
def test_every_command_reads_the_records_once(tmp_path):
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH)
    (tmp_path / "once.toml").write_text(EXPERIMENT)
    path, reads = os.pathsep.join([str(tmp_path / "watch"), *sys.path]), tmp_path / "reads"
    environment = {**os.environ, "PYTHONPATH": path, "READS": str(reads)}
    for command in (["run", "once.toml"], ["report", "once"], ["sync", "once"], ["table", "once"]):
        done = subprocess.run(
            [sys.executable, "-m", "bench", *command], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert len(reads.read_text().splitlines()) == 1, command
        reads.unlink()
