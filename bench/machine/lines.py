"""Reading JSON lines from another process: whole lines only, and never longer than a deadline."""

from __future__ import annotations

import json
import os
import select
import time
from typing import Any

READ_BYTES = 1 << 16


class LineReader:
    """Reads lines of JSON from a pipe or a socket.

    What came after a line is kept for the next `read`, so nobody else may read from the descriptor.

    **Arguments:**

    - `descriptor`: open for reading. Whoever opened it closes it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._buffer = b""

    @property
    def has_line(self) -> bool:
        """Whether a whole line was received with an earlier one: `read` returns it at once, and `select` does not know
        of it.
        """
        return b"\n" in self._buffer

    def read(self, limit_s: float) -> dict[str, Any]:
        """The object on the next line. Raises `TimeoutError` if no whole line came within `limit_s` seconds,
        `EOFError` if the other end closed before one did, and `ValueError` for a line that is no JSON object.
        """
        deadline = time.monotonic() + limit_s
        while not self.has_line:
            if not self._poll.poll(max(0.0, deadline - time.monotonic()) * 1e3):
                raise TimeoutError(f"no whole line within {limit_s:g} s")
            data = self._receive()
            if not data:
                raise EOFError("the other end closed")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        message = _parse(line)
        if not isinstance(message, dict):
            raise ValueError(f"a line that is not JSON, or no object: {line[:80]!r}")
        return message

    def _receive(self) -> bytes:
        try:
            return os.read(self._descriptor, READ_BYTES)
        except ConnectionResetError:  # a socket whose other end closed without reading all that it was sent
            return b""


def _parse(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
