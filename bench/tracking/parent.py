"""The sweep's own run in MLflow, the parent of its trials' runs.

It is made before the first trial, described after the last, and ended as KILLED where the sweep's process died.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.tracking.calls import create, delete, search, send, set_tag
from bench.tracking.entries import Entry
from bench.tracking.plan import HeldRun
from bench.tracking.store import Store

RANKING = "ranking.json"


def writer(process: int | None = None) -> str:
    """Who writes: host, process and when that process began, so that a later one of the same number is not taken for
    it.
    """
    number = process or os.getpid()
    return f"{socket.gethostname()}:{number}:{_began(number)}"


def _began(process: int) -> str:
    """Boot and clock ticks of a process's start; "" where there is no /proc."""
    try:
        ticks = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8] + "-" + ticks
    except OSError:
        return ""


def is_dead(written_by: str) -> bool:
    """Has a writer of this machine ended? Of other machines nothing is known."""
    host, _, rest = written_by.partition(":")
    number, _, began = rest.partition(":")
    if host != socket.gethostname() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return bool(began) and began != _began(int(number))


def begin(store: Store, sweep: Entry, process: int) -> str:
    """Makes the sweep's run, RUNNING, or opens the one that is there again. Its id."""
    close_dead(store)
    there = sorted(str(run.info.run_id) for run in search(store, f"tags.`bench.trial_uid` = '{sweep.uid}'"))
    if not there:
        return create(store, sweep, "", {"bench.writer": writer(process)})
    set_tag(store, there[0], "bench.writer", writer(process))
    store.call(store.client.update_run, there[0], status="RUNNING")
    return there[0]


def only_one(store: Store, sweep: Entry, parents: Sequence[HeldRun]) -> str:
    """The id of the sweep's own run: the one that is there, or a new one. Second ones are deleted."""
    if not parents:
        return create(store, sweep, "", {"bench.writer": writer()})
    first, *others = sorted(run.run_id for run in parents)
    for run_id in others:
        delete(store, run_id)
    return first


def finish(store: Store, run_id: str, sweep: Entry, artifacts: Sequence[Path], ranking: dict[str, Any]) -> None:
    """The parent's files, data set, numbers and end, unless it has them all. The tag of its state goes last: the rest
    is there then.

    **Arguments:**

    - `artifacts`: files or folders. `ranking`: a table, as columns and rows, for the comparison of artifacts.
    """
    files = sorted(
        file for path in artifacts for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()
    )
    state = hashlib.sha256(sweep.digest.encode() + json.dumps(ranking).encode())
    for file in files:
        state.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    run = store.call(store.client.get_run, run_id)
    if run.data.tags.get("bench.record_hash") == state.hexdigest()[:16] and run.info.status == sweep.status:
        return
    for path in artifacts:
        if path.is_dir():
            store.call(store.client.log_artifacts, run_id, str(path), path.name)
        else:
            store.call(store.client.log_artifact, run_id, str(path), "plots" if path.parent.name == "plots" else None)
    store.call(store.client.log_dict, run_id, ranking, RANKING)
    log_data(store, run_id, sweep)
    tables = json.dumps([{"path": RANKING, "type": "table"}])
    send(store, sweep, run_id, {**sweep.tags, "mlflow.loggedArtifacts": tables})
    set_tag(store, run_id, "bench.record_hash", state.hexdigest()[:16])


def log_data(store: Store, run_id: str, sweep: Entry) -> None:
    """The data sets as inputs of the run, by name and digest. Twice adds nothing: MLflow knows them by both."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = [
        DatasetInput(
            Dataset(name, digest, source_type="local", source=json.dumps({"name": name})),
            [InputTag("mlflow.data.context", "training")],
        )
        for name, digest in sweep.data
    ]
    if inputs:
        store.call(store.client.log_inputs, run_id, inputs)


def close_dead(store: Store) -> None:
    """Sweeps whose process died on this machine end as KILLED, not as RUNNING for ever."""
    for run in search(store, "tags.`bench.role` = 'sweep' AND attributes.status = 'RUNNING'"):
        if is_dead(run.data.tags.get("bench.writer", "")):
            close(store, run.info.run_id)


def close(store: Store, run_id: str) -> None:
    """Ends a sweep's run as KILLED."""
    store.call(store.client.set_terminated, run_id, status="KILLED", end_time=round(time.time() * 1000))


def with_links(sweep: Entry, links: str) -> Entry:
    """The same entry with a paragraph of links below the first line of its description."""
    answer, _, rest = sweep.tags["mlflow.note.content"].partition("\n\n")
    return replace(sweep, tags={**sweep.tags, "mlflow.note.content": f"{answer}\n\n{links}\n\n{rest}"})
