"""Syncs a run again and again, each time in a process of its own that is killed (SIGKILL) at a random moment.

`python -m fakes.sync_and_kill RUN URI KILLS SEED`, from tests/. The moment is drawn within a random one of the calls to
the store, so that it falls on a sync at work on fast machines and slow ones; before each a random half of the trials is
deleted, so that there is work. MLflow is imported, and used on another store, once, and forked from. Prints how many
kills left a sqlite store with a part of the run.
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

from bench.records.run import Run
from bench.tracking.store import Store, open_store
from bench.tracking.uri import sqlite_path
from fakes.tracked_run import sync

LONGEST_CALL_S = 0.03


def has_part(path, trials):
    """Does the store hold some of the trials, or one that is not finished?"""
    if path is None or not path.exists():
        return False
    with contextlib.closing(sqlite3.connect(path)) as connection:
        status = [
            status for (status,) in connection.execute("SELECT status FROM runs WHERE lifecycle_stage = 'active'")
        ]
    return 0 < status.count("FINISHED") < trials + 1


def damage(run, uri, draw):
    """Deletes half of the trials that the store holds."""
    with open_store(uri, run.path.parents[1], patience_s=30) as store:
        found = list(store.client.search_runs([store.experiment_id], "tags.`bench.role` = 'trial'"))
        for one in draw.sample(found, len(found) // 2):
            store.client.delete_run(one.info.run_id)


def report_calls(pipe):
    """Makes every call to a store write a byte first."""
    call = Store.call

    def reported(store, action, *arguments, **named):
        os.write(pipe, b".")
        return call(store, action, *arguments, **named)

    Store.call = reported


def main():
    path, uri, kills, seed = sys.argv[1:]
    draw, partial = random.Random(int(seed)), 0
    run = Run.open(Path(path))
    trials = len(run.records())
    with tempfile.TemporaryDirectory() as folder:
        sync(run, f"sqlite:///{folder}/other.db")
    for number in range(int(kills)):
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(told)
            try:
                damage(run, uri, random.Random(f"{seed} {number}"))
                report_calls(tell)
                sync(run, uri, patience_s=30)
            except Exception as error:
                print(error, file=sys.stderr)
                os._exit(1)
            os._exit(0)
        os.close(tell)
        calls = draw.randint(1, trials)
        while calls > 0 and os.read(told, 1):
            calls -= 1
        time.sleep(draw.uniform(0, LONGEST_CALL_S))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(told)
        partial += has_part(sqlite_path(uri), trials)
    print(partial)


if __name__ == "__main__":
    main()
