"""How a sweep is run, as opposed to what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what.

    **Arguments:**

    - `jobs`: training workers at a time, one core each.
    - `data_root`: where the data sets are. `download`: whether missing ones may be fetched.
    - `timing_command`: the timing worker's command line, if not the usual one.
    """

    jobs: int
    data_root: Path
    download: bool = False
    timing_command: list[str] | None = None
