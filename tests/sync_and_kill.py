"""Syncs a run again and again, each time in a process of its own that is killed (SIGKILL) at a random moment.

`python sync_and_kill.py RUN URI KILLS SEED LONGEST_S`. MLflow is imported, and used on another store, once, and forked
from. Prints how many kills left the store with a part of the run.
"""

import contextlib
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from tracked_run import Run, make_table

from bench.store import sqlite_path
from bench.tracking import sync


def has_part(path, trials):
    """Does the store hold some of the trials, or one that is not finished?"""
    if not path.exists():
        return False
    with contextlib.closing(sqlite3.connect(path)) as connection:
        status = [
            status for (status,) in connection.execute("SELECT status FROM runs WHERE lifecycle_stage = 'active'")
        ]
    return 0 < status.count("FINISHED") < trials + 1


def main():
    path, uri, kills, seed, longest_s = sys.argv[1:]
    draw, partial = random.Random(int(seed)), 0
    run = Run.open(Path(path))
    table = make_table(run)
    with tempfile.TemporaryDirectory() as folder:
        sync(run, f"sqlite:///{folder}/other.db", table=table)
    for _ in range(int(kills)):
        child = os.fork()
        if child == 0:
            try:
                sync(run, uri, table=table)
            except Exception as error:
                print(error, file=sys.stderr)
                os._exit(1)
            os._exit(0)
        time.sleep(draw.uniform(0, float(longest_s)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        partial += has_part(sqlite_path(uri), len(table))
    print(partial)


if __name__ == "__main__":
    main()
