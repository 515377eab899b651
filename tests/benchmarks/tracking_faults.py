"""Kills and a bad network, many times: is a trial ever lost or doubled? `python tests/benchmarks/tracking_faults.py`.

A sync of 16 trials into an sqlite store is killed (SIGKILL) at random moments; and syncs to an MLflow server go through
a proxy that loses, repeats and breaks a quarter of the answers. At the end each store is compared with an undisturbed
one.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from fakes.faulty_proxy import FaultyProxy
from fakes.tracked_run import make_run, snapshot, sync

from bench.errors import TrackingError
from bench.tracking.server import serve
from bench.tracking.uri import resolve_uri

AXES = {"activation": ["relu", "tanh"], "batch_size": [8, 16, 24, 32, 40, 48, 56, 64]}


def compare(name, held, expected):
    """Says how many trials are lost and doubled, and whether all else is equal too."""
    names, wanted = [one[0] for one in held], [one[0] for one in expected]
    lost = sum(max(0, wanted.count(one) - names.count(one)) for one in set(wanted))
    doubled = sum(max(0, names.count(one) - wanted.count(one)) for one in set(names))
    print(
        f"{name}: {lost} lost, {doubled} duplicated, identical to an undisturbed store: {held == expected}", flush=True
    )
    return held == expected


def kill(folder, kills, seed):
    """Kills syncs."""
    run = make_run(folder / "kills" / "r1", AXES)
    uri, quiet = resolve_uri(None, folder / "kills"), resolve_uri(None, folder / "quiet")
    sync(run, quiet)
    command = [sys.executable, "-m", "fakes.sync_and_kill", run.path, uri, str(kills), str(seed)]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=TESTS)
    partial = done.stdout.strip()
    print(f"{kills} kills in {time.monotonic() - began:.0f} s, {partial} of them left a part of the run", flush=True)
    sync(run, uri, patience_s=30)
    return compare("kills", snapshot(uri), snapshot(quiet))


def disturb(folder, syncs, seed):
    """Syncs through the proxy, each time after some damage to what the store holds."""
    uri, quiet = resolve_uri(None, folder / "server"), resolve_uri(None, folder / "calm")
    run = make_run(folder / "server" / "r1")
    sync(run, quiet)
    failed, met = 0, 0
    with serve(uri, port=0) as server:
        sync(run, server.url, patience_s=30)
        from mlflow import MlflowClient

        client = MlflowClient(server.url)
        for number in range(syncs):
            children = client.search_runs(["1"], "tags.`bench.role` = 'trial'")
            for one in children[number % 2 :: 2]:
                client.delete_run(one.info.run_id)
            with FaultyProxy(server.url, 0.25, seed + number) as proxy:
                try:
                    sync(run, proxy.url, patience_s=5)
                except TrackingError:
                    failed += 1
                met += sum(proxy.met.values())
        print(
            f"{syncs} syncs through the proxy met {met} faults; {failed} gave up and were left to the next", flush=True
        )
        sync(run, server.url, patience_s=30)
        return compare("network", snapshot(server.url), snapshot(quiet))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--syncs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        same = [kill(Path(folder), options.kills, options.seed)] if options.kills else []
        same += [disturb(Path(folder), options.syncs, options.seed)] if options.syncs else []
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
