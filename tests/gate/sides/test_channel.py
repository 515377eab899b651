"""How a side talks: on descriptors that the judged code cannot reach, and only of the judged tree."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.judged_side import ROOT

from bench.gate.sides.channel import check_origin, obey

TALKER = """
import os, sys
from bench.gate.sides.channel import leave, open_channel
commands, emit = open_channel()
print("printed by the judged code")
os.write(1, b"written by the judged code")
os.system("echo from a child of it")
emit({"line": commands.readline(), "input": sys.stdin.read()})
try:
    emit({"number": float("nan")})
except ValueError:
    emit({"refused": True})
leave(7)
"""


def test_what_the_judged_code_prints_or_reads_damages_no_line():
    done = subprocess.run(
        [sys.executable, "-c", TALKER], input="one\ntwo\n", capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 7
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"line": "one\n", "input": ""}, {"refused": True}
    ]  # fmt: skip
    for text in ("printed by the judged code", "written by the judged code", "from a child of it"):
        assert text in done.stderr


class Counted:
    """A block that takes a second an iteration, without waiting for it."""

    def __init__(self):
        self.asked = []

    def __call__(self, iterations):
        self.asked.append(iterations)
        return float(iterations), iterations / 2


def test_a_block_is_timed_after_one_untimed_iteration():
    block = Counted()
    assert obey({"kind": "block", "iterations": 5}, block) == {"kind": "block", "seconds": 5.0, "cpu_seconds": 2.5}
    assert block.asked == [1, 5]
    block.asked.clear()
    assert obey({"kind": "block", "iterations": 1}, block)["seconds"] == 1.0
    assert block.asked == [1]  # a call as long as a block is not made twice


def test_a_warm_up_tells_the_seconds_of_an_iteration_and_an_end_ends():
    block = Counted()
    assert obey({"kind": "warm_up"}, block) == {"kind": "warm", "seconds": 1.0}
    assert block.asked[:3] == [1, 2, 4]
    block.asked.clear()
    assert obey({"kind": "end"}, block) == {"kind": "ended"}
    assert block.asked == []


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """A package that is loaded from `tmp_path`."""
    (tmp_path / "judged_package.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "judged_package", raising=False)
    __import__("judged_package")
    yield tmp_path
    sys.modules.pop("judged_package", None)


def test_what_was_imported_from_elsewhere_is_named(judged, tmp_path):
    check_origin(judged, ["judged_package"])
    link = tmp_path / "link"
    link.symlink_to(judged, target_is_directory=True)
    check_origin(link, ["judged_package"])
    with pytest.raises(RuntimeError, match=r"judged_package was imported from .*, not from .*elsewhere"):
        check_origin(judged / "elsewhere", ["judged_package"])
    check_origin(Path("/elsewhere"), ["another_package"])
