"""Whether the machine is quiet: how many cores' worth of time others are using."""

from __future__ import annotations

import os
import time

from bench.machine.fingerprint import read_text

BUSY_CORES = 0.15  # what others may use, in cores, before it disturbs a timing
SAMPLE_S = 0.3


def busy_cores(sample_s: float = SAMPLE_S) -> tuple[float, float] | None:
    """Cores' worth of time that all processes used, and that the hypervisor took away, during `sample_s`; None if
    unknown.
    """
    before = processor_ticks()
    time.sleep(sample_s)
    after = processor_ticks()
    if before is None or after is None:
        return None
    spent = [b - a for a, b in zip(before, after, strict=True)]
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    idle, steal = spent[3] + spent[4], spent[7]
    return (sum(spent) - idle - steal) / ticks_per_s / sample_s, steal / ticks_per_s / sample_s


def processor_ticks() -> list[int] | None:
    """user, nice, system, idle, iowait, irq, softirq, steal of all processors since the start, in clock ticks."""
    fields = read_text("/proc/stat").partition("\n")[0].split()
    return [int(field) for field in fields[1:9]] if len(fields) >= 9 and fields[0] == "cpu" else None


def quiet_warning() -> str | None:
    """One line if something else is using this machine enough to disturb timings."""
    seen = busy_cores()
    if seen is None or (seen[0] <= BUSY_CORES and seen[1] <= BUSY_CORES):
        return None
    who = (
        f"other processes use {seen[0]:.1f} cores"
        if seen[0] > BUSY_CORES
        else f"the host takes {seen[1]:.1f} cores away"
    )
    return f"the machine is not quiet: {who}; intervals will be wider than they need be"
