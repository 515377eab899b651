"""A small real checkout of this project for `lenet-bench gate`, with everything that a gate leaves kept in one folder.

It has one trial with two phases, and settings under which six pairs decide: large slowdowns only, as the point is not
how fine the gate sees.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from fakes.git_repository import Repository

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = """
question = "Is it slower?"
seeds = 4
[base]
data = "digits"
epochs = 1
batch_size = 16
[axes]
activation = ["relu"]
[timing]
phases = ["forward", "step"]
"""
SETTINGS = """
[tool.lenet-bench.gate]
alpha = 0.5
floor = 0.3
routing = 0.3
tolerance = 5.0
accuracy_margin = 0.5
screen_pairs = 1
confirm_pairs = 5
extend_pairs = 0
alternations = 3
block_ms = 4
"""
FORWARD = "maps = self.pool1(self.activation1(self.norm1(self.conv1(images))))"
INFER = "return self._infer(self.network if prepared else self.model, images)"
FOLDER = re.compile(r"files: (.*)/\n")


class Checkout(Repository):
    """This project in a repository of its own, with everything that a gate leaves kept inside `tmp_path`."""

    def __init__(self, folder, packages=("bench", "lenet")):
        super().__init__(folder / "checkout")
        for name in packages:
            shutil.copytree(ROOT / name, self.path / name, ignore=shutil.ignore_patterns("__pycache__"))
        self.write("pyproject.toml", (ROOT / "pyproject.toml").read_text() + SETTINGS)
        self.write("experiments/gate.toml", EXPERIMENT)
        self.commit("first")
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.environment = {
            **os.environ, "TMPDIR": str(self.scratch), "LENET_BENCH_RESULTS": str(folder / "results"), "COLUMNS": "120",
            "XDG_CACHE_HOME": str(folder / "cache"), "LENET_BENCH_LOCKS": str(self.scratch),
        }  # fmt: skip
        self.environment.pop("LENET_BENCH_DATA", None)
        self.environment.pop("GITHUB_STEP_SUMMARY", None)

    def edit(self, name, old, new):
        file = self.path / name
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def start(self, *arguments, **options):
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "bench", "gate", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.path, env=self.environment, **options,
        )  # fmt: skip

    def gate(self, *arguments, **options):
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=400)
        return process.returncode, out, err

    def processes(self):
        """Everything alive that was started for a gate of this checkout."""
        found, mark = [], f"{self.scratch}/lenet-bench-gate-".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
        return found

    def left(self):
        """Processes and files that a gate left, but the lock's file and torch's own cache, which are meant to stay."""
        deadline = time.monotonic() + 10  # a killed process is gone when the kernel says so
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        return [
            *self.processes(),
            *(path for path in self.scratch.iterdir() if path.suffix != ".lock" and not path.match("torchinductor_*")),
        ]


def read_pairs(out):
    return [json.loads(line) for line in (Path(FOLDER.search(out).group(1)) / "pairs.jsonl").read_text().splitlines()]
