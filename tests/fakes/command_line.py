"""The command line as a process of its own, as a person starts it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_command(*arguments, **options):
    """A process of its own, as a person starts it."""
    environment = {**os.environ, "COLUMNS": "120", **options.pop("env", {})}
    command = [sys.executable, "-m", "bench", *map(str, arguments)]
    options = {"capture_output": True, "text": True, "cwd": ROOT, **options}
    return subprocess.run(command, env=environment, timeout=240, check=False, **options)


def one_line(err):
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    return lines[0]
