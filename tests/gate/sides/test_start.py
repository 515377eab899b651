"""A side is started by path: what is the judge's own comes from beside it, whatever the judged tree holds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.judged_side import START

from bench.gate.sides.start import BENCH

SCRIPT = """
import json, runpy, sys
load = runpy.run_path(sys.argv[1])["load"]
channel, garbage = load("gate.sides.channel"), load("measure.garbage")
assert load("measure.garbage") is garbage
files = {module.__name__: module.__file__ for module in (channel, garbage)}
loaded = sorted(name for name in sys.modules if name.partition(".")[0] in ("bench", "torch", "lenet"))
print(json.dumps([files, loaded]))
"""


@pytest.mark.parametrize("judged", [{}, {"bench/__init__.py": "raise ImportError('the judged bench')\n"}])
def test_the_judges_modules_are_loaded_and_the_judged_bench_is_not(tmp_path, judged):
    for name, text in judged.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-P", "-c", SCRIPT, str(START)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}
    )
    files, loaded = json.loads(done.stdout)
    assert {name: Path(file) for name, file in files.items()} == {
        "judge.gate.sides.channel": BENCH / "gate" / "sides" / "channel.py",
        "judge.measure.garbage": BENCH / "measure" / "garbage.py",
    }
    assert loaded == []


def test_a_name_that_is_no_side_ends_in_an_error():
    done = subprocess.run([sys.executable, "-P", str(START), "nothing_side"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'judge.gate.sides.nothing_side'"
