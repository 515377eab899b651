"""Whether the machine is quiet."""

import subprocess
import sys

import pytest

from bench.machine import quiet


def ticks(user=0, idle=0, steal=0):
    return [user, 0, 0, idle, 0, 0, 0, steal]


@pytest.mark.parametrize(
    ("spent", "warning"),
    [
        (ticks(idle=200), None),
        (ticks(user=10, idle=190), None),
        (ticks(user=150, idle=50), "other processes use 1.5 cores"),
        (ticks(idle=150, steal=50), "the host takes 0.5 cores away"),
    ],
)
def test_what_others_use_is_counted_in_cores(monkeypatch, spent, warning):
    """In one second of two cores, at 100 ticks a second."""
    readings = iter([ticks(), spent])
    monkeypatch.setattr(quiet, "processor_ticks", lambda: next(readings))
    monkeypatch.setattr(quiet.os, "sysconf", lambda name: 100)
    monkeypatch.setattr(quiet.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(quiet, "SAMPLE_S", 1.0)
    monkeypatch.setattr(quiet.busy_cores, "__defaults__", (1.0,))
    found = quiet.quiet_warning()
    assert found is None if warning is None else warning in found


def test_a_system_that_does_not_say_is_not_warned_about(monkeypatch):
    monkeypatch.setattr(quiet, "processor_ticks", lambda: None)
    monkeypatch.setattr(quiet.time, "sleep", lambda seconds: None)
    assert quiet.quiet_warning() is None


def test_a_busy_process_is_noticed():
    if quiet.processor_ticks() is None:
        pytest.skip("no /proc/stat here")
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        used, _ = quiet.busy_cores(0.3)
    finally:
        busy.kill()
        busy.wait()
    assert used > 0.3  # of one core; the machine may give less than all of it, and others may be at work too
