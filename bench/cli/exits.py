"""Exit codes, and ending with one line. 1 is a finding: no bug of ours ends with it."""

from __future__ import annotations

import sys
from typing import NoReturn

OK = 0
FINDING = 1  # something is slower; or trials failed, or a sweep could not go on
BAD_INPUT = 2  # or a failure of the suite itself
NO_VERDICT = 3
INTERRUPTED = 130


def end(message: str, code: int) -> NoReturn:
    """Prints one line on standard error and ends with the exit code."""
    print(f"lenet-bench: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
