"""The links that open a sweep in MLflow's UI."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from bench.errors import TrackingError
from bench.records.run import Run
from bench.tracking.store import Store, open_store
from bench.tracking.uri import mask, sqlite_path, without_credentials
from bench.tracking.views import TAG, TOP, _find, children_of, order, saved_tags, view_key

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Links:
    """Where to look at a sweep in a browser.

    **Arguments:**

    - `table`, `chart`: its trials as a table and as charts. `groups`: averages by the first axis; "" without saved
      views.
    - `compare`: the baseline and the best trials side by side; "" if there are none.
    - `parent`: the sweep's own run: description, files.
    - `server_command`: what starts the server that the links need; "" if one runs already.
    """

    table: str
    chart: str
    groups: str
    compare: str
    parent: str
    server_command: str

    def lines(self) -> list[str]:
        """For the terminal."""
        named = {
            "table": self.table,
            "charts": self.chart,
            "groups": self.groups,
            "compare": self.compare,
            "sweep": self.parent,
        }
        width = max(map(len, named))
        lines = [f"{name:<{width}}  {url}" for name, url in named.items() if url]
        return [f"start the server first: {self.server_command}", *lines] if self.server_command else lines

    def markdown(self) -> str:
        """For the sweep's description, where they work on whatever server it is read."""
        named = {"the trials as a table": self.table, "as charts": self.chart, "grouped": self.groups,
                 "the best beside the baseline": self.compare}  # fmt: skip
        return "Open: " + " · ".join(f"[{name}](#{url.partition('#')[2]})" for name, url in named.items() if url)


def links(run: Run, uri: str, *, table: pd.DataFrame | None = None, port: int = 5000) -> Links:
    """The links of a run that was sent to a store.

    **Arguments:**

    - `uri`: of the store, as `resolve_uri` returns it. `port`: of the server to be, where the store has none of its
      own.
    - `table`: not needed; the store itself says which trials are best.

    Raises `TrackingError`, also for a run that is not there.
    """
    del table
    database = sqlite_path(uri)
    if database and not database.exists():
        raise TrackingError(f"{mask(uri)}: no such store; make it with: lenet-bench sync {run.path}")
    with open_store(uri, run.path.resolve().parents[1], create=False) as store:
        parent = _find(store, f"tags.`bench.trial_uid` = '{run.experiment['uid']}'") if store.experiment_id else []
        if not parent:
            raise TrackingError(
                f"{mask(uri)}: run {run.path.name} is not there; send it with: lenet-bench sync {run.path}"
            )
        return make_links(store, run, parent[0], port)


def make_links(store: Store, run: Run, parent_id: str, port: int) -> Links:
    """The links, from an open store."""
    remote = store.uri.startswith(("http://", "https://"))
    base = without_credentials(store.uri) if remote else f"http://127.0.0.1:{port}"
    experiment = f"{base}/#/experiments/{store.experiment_id}"
    saved = saved_tags(store, run)
    if saved:
        view = f"{experiment}/runs?workflowType=machine_learning&viewStateShareKey="
        table, chart = view + view_key(run, "trials"), view + view_key(run, "trials") + "&compareRunsMode=CHART"
        groups = view + view_key(run, "groups") if f"{TAG}{view_key(run, 'groups')}" in saved else ""
    else:
        name, ascending = order(run)
        table = (
            f"{experiment}/runs?workflowType=machine_learning&searchFilter={quote(children_of(parent_id), safe='')}"
            f"&orderByKey={quote(f'metrics.`{name}`', safe='')}&orderByAsc={str(ascending).lower()}&startTime=ALL"
            "&lifecycleFilter=Active"
        )
        chart, groups = table + "&compareRunsMode=CHART", ""
    ids = compared(store, run, parent_id)
    compare = (
        f"{base}/#/compare-runs?runs={quote(json.dumps(ids, separators=(',', ':')), safe='')}"
        f"&experiments={quote(json.dumps([store.experiment_id]), safe='')}&workflowType=machine_learning"
        if len(ids) > 1
        else ""
    )
    command = "" if remote else f"lenet-bench ui --port {port} --tracking-uri {shlex.quote(mask(store.uri))}"
    return Links(table, chart, groups, compare, f"{experiment}/runs/{parent_id}?workflowType=machine_learning", command)


def compared(store: Store, run: Run, parent_id: str) -> list[str]:
    """Ids of the baseline's run and of the best `TOP` others."""
    name, ascending = order(run)
    baseline = _find(store, f"tags.`bench.trial_uid` = '{run.experiment['uid']}:{run.experiment.get('baseline', '')}'")
    best = _find(
        store,
        f"{children_of(parent_id)} AND attributes.status = 'FINISHED'",
        [f"metrics.`{name}` {'ASC' if ascending else 'DESC'}"],
        TOP + 1,
    )
    return baseline + [one for one in best if one not in baseline][:TOP]
