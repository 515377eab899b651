"""Who is told how a sweep or a gate goes."""

from __future__ import annotations

from typing import Protocol

from bench.records.record import Record


class Watcher(Protocol):
    """Whoever wants to know how a sweep or a gate goes. Called between measurements, never during one."""

    def stage(self, name: str, total: int) -> None:
        """A stage begins; `total` steps will be counted by `advance`."""

    def advance(self, text: str) -> None:
        """One step of the stage is done."""

    def recorded(self, record: Record) -> None:
        """A trial has ended."""

    def say(self, text: str) -> None:
        """Something that a person should read: one line."""


class Silent:
    """A watcher that tells nobody: for callers from Python."""

    def stage(self, name: str, total: int) -> None:
        """Nothing is told."""

    def advance(self, text: str) -> None:
        """Nothing is told."""

    def recorded(self, record: Record) -> None:
        """Nothing is told."""

    def say(self, text: str) -> None:
        """Nothing is told."""
