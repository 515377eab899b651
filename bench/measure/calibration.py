"""How often a block runs what it times, and the warm-up that finds it out where a block is any function.

Standard library alone: a judged process that holds no torch uses it, and so does the parent of both sides.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Block = Callable[[int], tuple[float, float]]
"""Runs something so many times; returns the seconds that took, and the CPU seconds of this process."""

WARM_UP_S = 0.05
SHORTEST_S = 1e-9  # of one iteration, for clocks that saw no time pass


def count_iterations(block_s: float, each_s: float) -> int:
    """Iterations of a block that shall last `block_s` seconds, at `each_s` seconds an iteration; at least 1."""
    return max(1, round(block_s / max(each_s, SHORTEST_S)))


def warm_up_block(block: Block) -> float:
    """Runs a block for WARM_UP_S seconds or longer, ever more iterations at a time; returns the seconds of one."""
    started, iterations, each_s = time.perf_counter(), 1, 0.0
    while time.perf_counter() - started < WARM_UP_S:
        each_s = block(iterations)[0] / iterations
        iterations = min(2 * iterations, 1_000)
    return each_s


def time_calls(call: Callable[[], object]) -> Block:
    """A block of calls that is timed as a whole, so that the clock's own cost vanishes in it."""

    def block(iterations: int) -> tuple[float, float]:
        cpu_started, started = time.process_time(), time.perf_counter()
        for _ in range(iterations):
            call()
        return time.perf_counter() - started, time.process_time() - cpu_started

    return block
