"""What a child does first and says last: it dies with its parent, stays on its core, and tells errors in one line."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.measure.child import LONGEST, classify, describe, is_out_of_memory
from lenet.files import DataError
from lenet.variant import ChoiceError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("two\n lines"), "ValueError: two lines"),
        (KeyError("name"), "KeyError: 'name'"),
        (RuntimeError(), "RuntimeError"),
        (ChoiceError("dtype: 'int4' is not known"), "dtype: 'int4' is not known"),
        (DataError("mnist: not found"), "mnist: not found"),
        (ChoiceError(), "ChoiceError"),
    ],
)
def test_an_error_is_told_in_one_line(error, line):
    assert describe(error) == line


def test_a_long_error_is_cut():
    assert len(describe(ValueError("x" * 10_000))) == LONGEST


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB", "out_of_memory"),
        ("[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate memory: you tried", "out_of_memory"),
        ("std::bad_alloc", "out_of_memory"),
        ("[Errno 12] Cannot allocate memory", "out_of_memory"),
        ("DefaultCPUAllocator: not enough memory", "out_of_memory"),
        ("the shapes do not fit", "error"),
        ("", "error"),
    ],
)
def test_want_of_memory_is_known_by_its_words_in_an_error_and_in_a_log(text, cause):
    assert classify(RuntimeError(text)) == cause
    assert is_out_of_memory(text) == (cause == "out_of_memory")
    assert classify(MemoryError()) == "out_of_memory"


CHILD = """
import os, sys, time
from bench.measure.child import bind, die_with_parent
die_with_parent()
core = min(os.sched_getaffinity(0))
bind(None)
before = len(os.sched_getaffinity(0))
bind(core)
print(os.getpid(), before, *os.sched_getaffinity(0), flush=True)
time.sleep(600)
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_a_child_dies_with_its_parent_and_stays_on_the_core_that_it_is_given():
    command = [sys.executable, "-c", PARENT, CHILD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        pid, before, *cores = map(int, parent.stdout.readline().split())
        assert before == len(os.sched_getaffinity(0))
        assert cores == [min(os.sched_getaffinity(0))]
        parent.kill()
        assert parent.stdout.read() == ""  # returns when the child, which holds the other end, has ended
    # Its end of the pipe closes while it is still on its way out.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            time.sleep(0.01)
