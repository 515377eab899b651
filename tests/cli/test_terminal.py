"""What is said while a sweep runs, on a terminal and elsewhere."""

import io

import pytest
from fakes.made_run import make_record
from rich.console import Console

from bench.cli import terminal as progress
from bench.cli.terminal import TerminalWatcher


def console(terminal):
    return Console(file=io.StringIO(), width=100, force_terminal=terminal, color_system=None, markup=False)


@pytest.fixture(params=[True, False], ids=["terminal", "pipe"])
def out(request):
    return console(request.param)


def test_brackets_in_names_are_printed(out):
    with TerminalWatcher(out) as watcher:
        watcher.stage("training", 2)
        watcher.advance("[/b] relu")
        watcher.say("wait [/red] for it")
        watcher.recorded(make_record({}, status="failed", name="[bold]x", reason="it [/x] crashed"))
    text = out.file.getvalue()
    assert "wait [/red] for it" in text
    assert "failed (crashed) [bold]x: it [/x] crashed" in text


def test_successes_are_left_to_the_table(out):
    with TerminalWatcher(out) as watcher:
        watcher.recorded(make_record({}, name="relu"))
    assert "relu" not in out.file.getvalue()


def test_a_bar_counts_the_steps_and_a_stage_may_grow():
    out = console(True)
    with TerminalWatcher(out) as watcher:
        watcher.stage("timing", 2)
        for text in ("process 1, round 1", "process 1, round 2", "process 2, round 1"):
            watcher.advance(text)
    text = out.file.getvalue()
    assert "timing" in text
    assert "1/2" in text
    assert "3/3" in text
    assert "process 2, round 1" in text


def test_without_a_terminal_a_line_now_and_then(monkeypatch):
    clock = iter([0.0, 1.0, 10.5, 10.5, 11.0, 30.0, 30.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    out = Console(file=io.StringIO(), width=100)
    watcher = TerminalWatcher(out)
    watcher.stage("training", 4)
    for name in ("a", "b", "c", "d"):
        watcher.advance(name)
    assert out.file.getvalue().splitlines() == ["training: 4 steps", "training: 2 of 4 (b)", "training: 4 of 4 (d)"]
