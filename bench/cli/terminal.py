"""The consoles that are printed to, and what a person sees while a sweep runs: a bar on a terminal, lines elsewhere.

A bar is drawn only when something is reported, which is never while a trial is being timed; no thread refreshes it in
between.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from bench.records.record import Record

STYLES = {"ok": "green", "failed": "red", "skipped": "yellow"}
PLAIN_EVERY_S = 10.0  # without a terminal: a line at most this often


class Output(Console):
    """A console on which brackets in names stay brackets. A reader that goes away is the caller's matter."""

    def on_broken_pipe(self) -> None:
        """Rich would end the process, and a sweep with it."""
        raise  # it is called while the exception is handled


def make_console() -> Console:
    """Where everything is printed; as wide as a pipe needs when it is no terminal."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120
    return Output(width=width, markup=False, highlight=False)


def warn(out: Console, word: str, text: object) -> None:
    """A line that begins with a coloured word."""
    out.print(Text.assemble((word, "yellow"), f" {text}"), soft_wrap=True)


class TerminalWatcher:
    """Shows the stage, steps done and time left. A context manager.

    **Arguments:**

    - `console`: where to draw.
    - `before_timing`: called when the timing stage begins, before anything is timed.
    """

    def __init__(self, console: Console, before_timing: Callable[[], None] | None = None) -> None:
        self._console, self._before_timing = console, before_timing
        self._progress = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            TextColumn("[dim]{task.fields[text]}"),
            console=console,
            auto_refresh=False,
            disable=not console.is_terminal,
            speed_estimate_period=120,
        )
        self._task = self._progress.add_task("", total=1, text="", visible=False)
        self._name, self._total, self._done, self._printed_s = "", 0, 0, 0.0

    def __enter__(self) -> TerminalWatcher:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def stage(self, name: str, total: int) -> None:
        """A stage of `total` steps begins."""
        if name == "timing" and self._before_timing is not None:
            self._before_timing()
        self._name, self._total, self._done, self._printed_s = name, total, 0, time.monotonic()
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task(name, total=total, text="")
        self._progress.refresh()
        if not self._console.is_terminal:
            self._console.print(f"{name}: {total} steps", highlight=False)

    def advance(self, text: str) -> None:
        """One step is done."""
        self._done += 1
        if self._done > self._total:  # the timing stage goes on for as long as its intervals are wide
            self._total = self._done
        self._progress.update(self._task, advance=1, total=self._total, text=escape(text), refresh=True)
        if not self._console.is_terminal and time.monotonic() - self._printed_s >= PLAIN_EVERY_S:
            self._printed_s = time.monotonic()
            self._console.print(Text(f"{self._name}: {self._done} of {self._total} ({text})"))

    def recorded(self, record: Record) -> None:
        """Failures and skips are worth a line at once; successes come in the table."""
        if record.status != "ok":
            style = STYLES[record.status]
            cause = f" ({record.cause})" if record.cause else ""
            text = Text.assemble((record.status, style), f"{cause} {record.name}: {record.reason}")
            self._console.print(text, highlight=False)

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(Text(text))


class CountWatcher:
    """Shows how far a count is, on one line that is drawn over, or in a pipe a line now and then.

    **Arguments:**

    - `console`: where to draw. `name`: what is counted.
    """

    def __init__(self, console: Console, name: str) -> None:
        self._console, self._name, self._began_s, self._printed_s = console, name, time.monotonic(), time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total`."""
        now = time.monotonic()
        if now - self._printed_s < (0.5 if self._console.is_terminal else PLAIN_EVERY_S):
            return
        self._printed_s = now
        text = f"{self._name}: {done:,} of {total:,}, {done / (now - self._began_s):.0f} a second"
        self._console.print(text, end="\r" if self._console.is_terminal else "\n", highlight=False)
