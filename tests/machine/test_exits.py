"""How an end is explained, in one line."""

import signal

import pytest

from bench.machine.exits import explain_exit


@pytest.mark.parametrize(
    ("status", "log", "cause", "reason"),
    [
        (-signal.SIGSEGV, "", "crashed", "the worker crashed (SIGSEGV)"),
        (-signal.SIGABRT, "a\nfree(): invalid pointer\n", "crashed", "the worker crashed (SIGABRT): free(): invalid"),
        (-signal.SIGKILL, "", "killed", "for want of memory"),
        (-40, "", "crashed", "the worker crashed (signal 40)"),
        (1, "x\nValueError: bad\n\n", "crashed", "the worker ended with exit code 1 and no result: ValueError: bad"),
        (0, "", "crashed", "the worker ended with exit code 0 and no result"),
        (1, "RuntimeError: [enforce fail] can't allocate memory", "out_of_memory", "can't allocate memory"),
        (1, "torch.OutOfMemoryError: CUDA out of memory. Tried", "out_of_memory", "CUDA out of memory"),
        (-signal.SIGABRT, "terminate called: std::bad_alloc", "out_of_memory", "bad_alloc"),
        (-signal.SIGABRT, "malloc(): memory corruption", "crashed", "SIGABRT"),
        (1, "UserWarning: pin_memory has no effect", "crashed", "exit code 1"),
        (1, "x" * 1000, "crashed", "xxx"),
    ],
)
def test_an_end_is_explained_in_one_line(status, log, cause, reason):
    found = explain_exit(int(status), log)
    assert found[0] == cause
    assert reason in found[1]
    assert "\n" not in found[1]
    assert len(found[1]) < 400
