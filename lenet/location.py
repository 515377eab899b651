"""Where data sets are looked for. Reads the environment, touches no file, imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "LENET_BENCH_DATA"


def find_data_root(given: Path | None = None) -> Path:
    """The folder given, else the one that `$LENET_BENCH_DATA` names, else `lenet-bench/data` in the user's cache folder."""
    if given is not None:
        return given.expanduser().resolve()
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser().resolve()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "lenet-bench" / "data"
