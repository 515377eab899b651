"""How a process ended, in words: one cause and one line of reason from its exit status and the last line it printed."""

from __future__ import annotations

import signal

from bench.measure.child import is_out_of_memory


def explain_exit(status: int, log: str) -> tuple[str, str]:
    """Cause and reason for a worker's exit status (negative: the signal), with the last line it printed."""
    last = log.strip().splitlines()[-1][:300] if log.strip() else ""
    if is_out_of_memory(last):
        return "out_of_memory", last
    if status < 0:
        names = {number.value: number.name for number in signal.Signals}
        name = names.get(-status, f"signal {-status}")
        if -status == signal.SIGKILL:
            return "killed", f"the worker was killed ({name}); by a person, or by the kernel for want of memory"
        return "crashed", f"the worker crashed ({name})" + (f": {last}" if last else "")
    return "crashed", f"the worker ended with exit code {status} and no result" + (f": {last}" if last else "")
