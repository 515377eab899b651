"""Parses the command line, runs the command, and turns its end into an exit code.

0 done, 1 some trials failed or something is slower, 2 bad input or a failure of the suite itself, 3 no verdict,
130 interrupted. A bug of ours ends with 2 and its traceback (`bench.__main__`).
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from bench.cli.compare import baseline, compare
from bench.cli.doctor import doctor
from bench.cli.exits import BAD_INPUT, FINDING, INTERRUPTED, OK, end
from bench.cli.gate import gate_app
from bench.cli.sweeps import claims, plan, report, run, runs, table
from bench.cli.tracking import import_pytest_benchmark, links, sync, ui
from bench.errors import UserError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
for command in (run, plan, runs, table, report, claims, doctor, compare, sync, links, ui, import_pytest_benchmark):
    app.command()(command)
app.add_typer(gate_app, name="gate")
app.add_typer(baseline, name="baseline")


@app.callback()
def lenet_bench(
    debug: Annotated[
        bool, typer.Option("--debug", help="Keeps the traceback of an error; may stand anywhere.")
    ] = False,
) -> None:
    """Sweeps LeNet variants, times them, and says what to trust."""
    # `main` has read --debug already, since it may stand behind the command; it is declared for --help.


def main() -> None:
    """Parses and runs: errors meant for people end in one line; with --debug they keep their traceback."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app(prog_name="lenet-bench")
    except SystemExit as error:
        if isinstance(error.__context__, typer.Exit) and error.code == INTERRUPTED:
            raise KeyboardInterrupt from error  # typer would end without a word
        drop_unread_output()
        if isinstance(error.__context__, BrokenPipeError) and error.code == FINDING:  # typer's end for it
            sys.exit(OK)
        if isinstance(error.__context__, typer.Abort):  # typer's end for an EOFError, wherever it came from
            sys.exit(BAD_INPUT)
        raise
    except BrokenPipeError:  # `lenet-bench table | head`
        drop_unread_output()
        sys.exit(OK)
    except OSError as error:
        if debug:
            raise
        end(f"{error.filename}: {error.strerror}" if error.filename else str(error), BAD_INPUT)
    except UserError as error:
        if debug:
            raise
        end(str(error), BAD_INPUT)


def drop_unread_output() -> None:
    """Whoever read has seen enough; the interpreter shall not complain of it on its way out."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
