"""The side that counts instructions: its set-up runs, and without valgrind it says why there is no count."""

import json
import os
import subprocess
import sys

import pytest
from fakes.judged_side import ROOT, START, TRIAL, Side

from bench.gate.sides.instructions_side import SETUP


@pytest.mark.slow
def test_what_callgrind_is_given_sets_a_benchmark_up():
    """callgrind itself takes minutes; what it would run is run without it."""
    script = SETUP.format(start=str(START), trial=json.dumps(TRIAL), phase="step")
    script += "print(run_block(subject, 'step', 2)[0] > 0, gc.isenabled(), gc.get_freeze_count() > 0)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["True", "False", "True"], done.stderr


def test_without_valgrind_each_benchmark_says_why_it_was_not_counted(tmp_path):
    benchmarks = [{"name": name, "phase": "step", "trial": TRIAL} for name in ("one", "two")]
    task = {"benchmarks": benchmarks, "iterations": 1, "repeats": 1}
    with Side("instructions_side", task, PATH=str(tmp_path)) as side:
        for name in ("one", "two"):
            counted = side.hear()
            assert (counted["name"], counted["counts"], counted["functions"]) == (name, [], [])
            assert counted["reason"].startswith(("OSError: Missing", "FileNotFoundError"))  # valgrind, or `which`
        assert side.hear() == {"kind": "done"}
        assert side.end()[0] == 0
