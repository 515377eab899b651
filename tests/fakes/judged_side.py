"""A real side of a pair, started as the gate starts it, and talked to line by line."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START = ROOT / "bench" / "gate" / "sides" / "start.py"
TRIAL = {
    "variant": {"channels": 1, "classes": 10, "input_size": 16},
    "recipe": {"data": "synthetic", "batch_size": 4},
    "placement": {"device": "cpu", "threads": 1, "dtype": "float32", "memory_format": "contiguous", "backend": "eager"},
}


class Side:
    """A process of one module of `bench/gate/sides`; a context manager that ends it.

    **Arguments:**

    - `tree`: what `PYTHONPATH` names: the judged tree.
    """

    def __init__(self, module, task, tree=ROOT, **environment):
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(START), module], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(tree), **environment},
        )  # fmt: skip
        self.tell(task)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def tell(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def hear(self):
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return json.loads(line)

    def ask(self, kind, benchmark, **more):
        self.tell({"kind": kind, "benchmark": benchmark, **more})
        return self.hear()

    def end(self):
        """Closes its input and waits for its end. Returns its exit code, and what it still said."""
        self.process.stdin.close()
        self.process.stdin = None
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err
