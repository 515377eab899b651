"""One run in MLflow: found, made, filled, deleted. Every operation may be repeated, and then changes nothing.

An open store and an `Entry` go in; the store holds it when the call returns.
"""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from typing import Any

from bench.errors import TrackingError
from bench.tracking.entries import PHASE_TABLE, Entry
from bench.tracking.store import Store

PAGE = 200  # runs a search: at 6 ms each over HTTP this is a second, and a request may have no more than two


class RunGone(TrackingError):
    """A run that was deleted while it was written."""


def search(store: Store, condition: str) -> list[Any]:
    """Every active run of the suite's experiment that meets a condition, page by page."""
    runs: list[Any] = []
    token: str | None = None
    while True:
        page = store.call(
            store.client.search_runs,
            [store.experiment_id],
            filter_string=condition,
            max_results=PAGE,
            page_token=token,
        )
        runs += page
        token = page.token
        if not token:
            return runs


def create(store: Store, entry: Entry, parent_id: str, extra: Mapping[str, str] | None = None) -> str:
    """Makes the run, RUNNING. Where the answer was lost on the way, the run that was made is found and taken."""
    tags = {**entry.tags, "bench.trial_uid": entry.uid, "mlflow.user": user(), **(extra or {})}
    condition = f"tags.`bench.trial_uid` = '{entry.uid}'"
    if parent_id:
        tags |= {"mlflow.parentRunId": parent_id, "bench.record_hash": entry.digest}
        condition += f" AND tags.`bench.record_hash` = '{entry.digest}'"
    tried = False

    def action() -> str:
        nonlocal tried
        if tried and (made := store.client.search_runs([store.experiment_id], filter_string=condition, max_results=1)):
            return str(made[0].info.run_id)
        tried = True
        run = store.client.create_run(store.experiment_id, start_time=entry.start_ms, tags=tags, run_name=entry.name)
        return str(run.info.run_id)

    return store.call(action)


def send(store: Store, entry: Entry, run_id: str, tags: Mapping[str, str] | None = None) -> None:
    """Parameters, metrics, the tags given here, and the end of a run. Raises `RunGone`."""
    from mlflow.entities import Metric, Param, RunTag

    metrics = [Metric(name, value, entry.end_ms, step) for name, value, step in entry.metrics]
    params = [Param(name, value) for name, value in entry.params.items()]
    labels = [RunTag(*tag) for tag in (tags or {}).items()]

    def action() -> None:
        try:
            store.client.log_batch(run_id, metrics=metrics, params=params, tags=labels)
            if entry.table:
                store.client.log_dict(run_id, entry.table, PHASE_TABLE)
            store.client.set_terminated(run_id, status=entry.status, end_time=entry.end_ms)
        except Exception as error:
            if is_gone(error):
                raise RunGone(f"run {run_id} was deleted while it was written") from error
            raise

    store.call(action)


def set_tag(store: Store, run_id: str, name: str, value: str) -> None:
    """Sets one tag."""
    store.call(store.client.set_tag, run_id, name, value)


def delete(store: Store, run_id: str) -> None:
    """Deletes a run; one that is gone already is as good."""

    def action() -> None:
        try:
            store.client.delete_run(run_id)
        except Exception as error:
            if not is_gone(error):
                raise

    store.call(action)


def is_gone(error: Exception) -> bool:
    """Does a call fail because another process has deleted the run?"""
    return (
        "must be in the 'active' state" in str(error) or getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST"
    )


def user() -> str:
    """Who runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
