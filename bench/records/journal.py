"""A journal: lines of JSON that are appended and on the disk before anything goes on, and read back after a crash."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from bench.errors import RecordError
from bench.records.files import sync_folder

BUFFER_BYTES = 1 << 20  # lines are longer than Python's own buffer, through which reading takes five times as long
KEY = re.compile(rb'\{"key":"([\w.-]+)"')


def finite(value: float) -> float | None:
    """The number, or None where JSON has no word for it (NaN, infinities)."""
    return value if math.isfinite(value) else None


def encode(values: dict[str, Any]) -> str:
    """One line of strict JSON (no NaN), without the newline."""
    return json.dumps(values, separators=(",", ":"), allow_nan=False)


class Journal:
    """An append-only file of JSON lines with one writer. A line is on the disk when `append` returns.

    A torn last line, left by a crash, is cut off when the file is next opened for writing and ignored by readers; a
    torn line anywhere else is damage, and refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, values: dict[str, Any]) -> None:
        """Writes one line and waits for the disk. Raises `RecordError` when it is full or not writable.

        A line of which only a part could be written is taken back, so that the file stays whole.
        """
        line = (encode(values) + "\n").encode()
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise RecordError(f"{self.path}: cannot be written ({error.strerror})") from error
        try:
            end = self._cut_torn_line(descriptor)
            try:
                if os.write(descriptor, line) != len(line):
                    raise OSError(28, "No space left on device")
                os.fsync(descriptor)
                if end == 0:
                    sync_folder(self.path.parent)
            except OSError as error:
                os.ftruncate(descriptor, end)
                raise RecordError(
                    f"{self.path}: cannot record ({error.strerror}); what was recorded before is kept"
                ) from error
        finally:
            os.close(descriptor)

    @staticmethod
    def _cut_torn_line(descriptor: int) -> int:
        """Truncates the file after its last newline; returns its length."""
        end = os.fstat(descriptor).st_size
        position, tail = end, b""
        while position > 0 and b"\n" not in tail:
            step = min(65_536, position)
            position -= step
            tail = os.pread(descriptor, step, position)
        whole = position + tail.rfind(b"\n") + 1 if b"\n" in tail else 0
        if whole != end:
            os.ftruncate(descriptor, whole)
        return whole

    def read(self) -> Iterator[dict[str, Any]]:
        """Every whole line. A missing file is empty. Raises `RecordError` for a damaged line that is not the last."""
        with contextlib.suppress(FileNotFoundError), self.path.open("rb", buffering=BUFFER_BYTES) as file:
            for number, _, line in self._whole_lines(file):
                yield self._parse(number, line)

    def newest(self, order: Mapping[str, int]) -> Iterator[dict[str, Any]]:
        """The last line of each `key`, by the keys' places in `order`, those without one at the end.

        The file is looked through once and only then read, one line at a time: its content may be larger than memory.
        Raises `RecordError` as `read` does.
        """
        with contextlib.suppress(FileNotFoundError), self.path.open("rb", buffering=BUFFER_BYTES) as file:
            places: dict[str, tuple[int, int, int]] = {}
            for number, start, line in self._whole_lines(file):
                # The key is the first thing of a line as `encode` writes it.
                known = KEY.match(line)
                key = known[1].decode() if known else str(self._parse(number, line)["key"])
                places[key] = number, start, len(line)
            for _, (number, start, length) in sorted(places.items(), key=lambda item: order.get(item[0], len(order))):
                yield self._parse(number, os.pread(file.fileno(), length, start))

    def state(self) -> tuple[int, int]:
        """Size and time of the last change: equal states hold equal lines. Zeros for a missing file."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_size, found.st_mtime_ns

    @staticmethod
    def _whole_lines(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
        """Number (from 1), offset and bytes of each whole line."""
        start = 0
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            yield number, start, line
            start += len(line)

    def _parse(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            values: dict[str, Any] = orjson.loads(line)  # four times as fast as json
        except ValueError as error:
            raise RecordError(f"{self.path}:{number}: not a line of JSON ({error})") from error
        return values
