"""The fork server has imported what its children need, so that a training does not pay for it."""

import subprocess
import sys

SCRIPT = """
import sys
from pathlib import Path
from bench.sweep.fork_server import preload
from bench.experiment.trial import Trial
from bench.sweep.worker import train

preload()
before = set(sys.modules)
seen = []
trial = Trial.from_knobs({"data": "digits", "updates": 1}).to_dict()
train({"kind": "train", "trial": trial, "seed": 0, "data_root": ".", "extensions": []}, seen.append)
assert seen[0]["status"] == "ok", seen
print(len(set(sys.modules) - before))
"""


def test_a_training_imports_next_to_nothing_after_the_preload(tmp_path):
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, cwd=tmp_path)
    # sklearn's digits bring a few packages of data; without the preload torch._dynamo alone brings hundreds.
    assert int(done.stdout) < 40
