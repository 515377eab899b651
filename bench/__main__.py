"""The console script `lenet-bench`, and `python -m bench`.

Runs the command line, and sees to what it cannot see to itself: an interrupt ends in one line also while the command
still imports; a bug, there or later, ends with its traceback and exit code 2, since 1 would say that something became
slower; and a stream that is closed, or that cannot write every sign, is no bug.
"""

import contextlib
import io
import os
import signal
import sys
from typing import NoReturn


def main() -> None:
    """Runs `bench.cli.main`."""
    # Not by raising SIGINT, which a shell makes its background jobs ignore.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        prepare_streams()
        from bench.cli.main import main as run_cli

        run_cli()
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        # Python 3.11 wraps what is raised while a class is made (`__set_name__`) in a RuntimeError.
        if isinstance(error, KeyboardInterrupt) or isinstance(error.__cause__, KeyboardInterrupt):
            end_interrupted()
        with contextlib.suppress(Exception):  # nobody reads any more, or there is no memory left
            sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(2)


def end_interrupted() -> NoReturn:
    """Says so in one line and ends with 130."""
    print("lenet-bench: interrupted", file=sys.stderr)
    # Under `python -m`, an interrupt that came inside an `exec` would end the process by the signal, not with the exit
    # code: Python keeps a mark of it until the next `exec`. Dataclasses are made by `exec`, so that most interrupts of
    # an import come inside one.
    exec("")
    sys.exit(130)


def prepare_streams() -> None:
    """Makes every text printable, and opens what was closed.

    A sign that the stream's encoding has not (`±` in ASCII) becomes `?`. A closed stream leads nowhere: its number
    would else be given to the next file that is opened, and what children print would be written into that.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.dup2(descriptor, number)  # inherited by children, as streams are
            if descriptor != number:
                os.close(descriptor)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        elif number and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


if __name__ == "__main__":
    main()
