"""What a person sees while a sweep runs: a bar on a terminal, one line an event elsewhere.

Draws only when it is told something, which is never while a trial is being timed; no thread refreshes it in between.
"""

from __future__ import annotations

import time

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from bench.record import Record

STYLES = {"ok": "green", "failed": "red", "skipped": "yellow"}
PLAIN_EVERY_S = 10.0  # without a terminal: a line at most this often


class TerminalWatcher:
    """Shows the stage, steps done and time left. A context manager.

    **Arguments:**

    - `console`: where to draw.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
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
        self._name, self._total, self._done, self._told_s = "", 0, 0, 0.0

    def __enter__(self) -> TerminalWatcher:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def stage(self, name: str, total: int) -> None:
        """A stage of `total` steps begins."""
        self._name, self._total, self._done, self._told_s = name, total, 0, time.monotonic()
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
        if not self._console.is_terminal and time.monotonic() - self._told_s >= PLAIN_EVERY_S:
            self._told_s = time.monotonic()
            self._console.print(Text(f"{self._name}: {self._done} of {self._total} ({text})"))

    def recorded(self, record: Record) -> None:
        """Failures and skips are worth a line at once; successes come in the table."""
        if record.status != "ok":
            style = STYLES[record.status]
            text = Text.assemble((record.status, style), f" {record.name}: {record.reason}")
            self._console.print(text, highlight=False)

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(Text(text))
