"""A run's records for everybody who looks at them: read from the disk once, and kept while they are few enough."""

from __future__ import annotations

from collections.abc import Iterator

from bench.records.record import Record
from bench.records.run import Run

LIMIT_BYTES = 32 << 20  # of records.jsonl; records in memory take about five times as much


class Reading:
    """The newest record of each trial of a run, in the order of the plan.

    It may be iterated as often as one likes: a file of at most `limit_bytes` is read by the first iteration and kept in
    memory; a longer one is read again each time, one record at a time. So a reading of a short file is what the file
    held when it was first iterated, whatever is appended later.

    **Arguments:**

    - `run`: whose records. `limit_bytes`: the size of `records.jsonl` up to which records are kept.

    Iterating and `len` raise `RecordError` for a damaged file.
    """

    def __init__(self, run: Run, limit_bytes: int = LIMIT_BYTES) -> None:
        self.run = run
        self._limit_bytes = limit_bytes
        self._kept: list[Record] | None = None

    def __iter__(self) -> Iterator[Record]:
        if self._kept is None:
            size_bytes, _ = self.run.records_file.state()
            if size_bytes > self._limit_bytes:
                return self.run.each()
            self._kept = self.run.records()
        return iter(self._kept)

    def __len__(self) -> int:
        return sum(1 for _ in self)
