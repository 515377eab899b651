"""The garbage collector, kept out of what is timed.

Standard library alone, so that the side of a pair can load it by path, whatever the tree it judges holds.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_collector() -> Iterator[None]:
    """No garbage collection inside: everything alive is collected once, then frozen."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
