"""The console script, and `python -m bench`: an interrupt ends in one line also while the command still imports, and a
bug, there or later, ends with its traceback and exit code 2: 1 would say that something became slower.
"""

import contextlib
import signal
import sys


def main() -> None:
    """Runs `bench.cli.main`."""
    # Not by raising SIGINT, which a shell makes its background jobs ignore.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        from bench.cli.main import main as run_cli

        run_cli()
    except KeyboardInterrupt:
        print("lenet-bench: interrupted", file=sys.stderr)
        # Python remembers an interrupt that came inside an `exec`, as of a dataclass, and would end by the signal
        # instead of with the exit code; the next `exec` makes it forget.
        exec("")
        sys.exit(130)
    except Exception as error:
        with contextlib.suppress(Exception):  # nobody reads any more, or there is no memory left
            sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(2)


if __name__ == "__main__":
    main()
