"""The links that open a sweep in MLflow's UI."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bench.errors import RecordError, TrackingError
from bench.records.run import Run, all_runs
from bench.tracking.store import Store, open_store
from bench.tracking.uri import HOST, UI_PORT, is_server, mask, sqlite_path, without_credentials
from bench.tracking.views import TAG, Sweep, children_of, find_order, saved_tags, search_ids

TOP = 5


@dataclass(frozen=True)
class Links:
    """Where to look at a sweep in a browser: what follows a server's address, `#/experiments/...`.

    **Arguments:**

    - `table`, `charts`: its trials as a table and as charts. `groups`: averages by the first axis; "" without saved
      views.
    - `compare`: the baseline and the best trials side by side; "" if there are none.
    - `sweep`: the sweep's own run: description, files.
    """

    table: str
    charts: str
    groups: str
    compare: str
    sweep: str

    def lines(self, uri: str, port: int = UI_PORT) -> list[str]:
        """For the terminal, with the command that starts a server where the store has none of its own.

        **Arguments:**

        - `uri`: of the store, as `resolve_uri` returns it. `port`: of the server to be.
        """
        base = without_credentials(uri) if is_server(uri) else f"http://{HOST}:{port}"
        width = max(map(len, vars(self)))
        lines = [f"{name:<{width}}  {base}/{place}" for name, place in vars(self).items() if place]
        if is_server(uri):
            return lines
        command = f"lenet-bench ui --port {port} --tracking-uri {shlex.quote(mask(uri))}"
        return [f"start the server first: {command}", *lines]

    def markdown(self) -> str:
        """For the sweep's description, where they work on whatever server it is read."""
        named = {"the trials as a table": self.table, "as charts": self.charts, "grouped": self.groups,
                 "the best beside the baseline": self.compare}  # fmt: skip
        return "Open: " + " · ".join(f"[{name}]({place})" for name, place in named.items() if place)


def find_links(run: Run, uri: str) -> Links:
    """The links of a run that was sent to a store. Raises `TrackingError`, also for a run that is not there.

    **Arguments:**

    - `uri`: of the store, as `resolve_uri` returns it.
    """
    database = sqlite_path(uri)
    if database and not database.exists():
        raise TrackingError(f"{mask(uri)}: no such store; make it with: lenet-bench sync {run.path}")
    sweep = Sweep.of(run)
    with open_store(uri, sweep.folder.parents[1], create=False) as store:
        parent = search_ids(store, f"tags.`bench.trial_uid` = '{sweep.uid}'") if store.experiment_id else []
        if not parent:
            raise TrackingError(
                f"{mask(uri)}: run {run.path.name} is not there; send it with: lenet-bench sync {run.path}"
            )
        return make_links(store, sweep, parent[0])


def newest_links(results: Path, uri: str) -> list[str]:
    """Lines that open the newest run that a store holds; none if it holds none."""
    for path in reversed(all_runs(results)):
        try:
            lines = find_links(Run.open(path), uri).lines(uri)
        except (RecordError, TrackingError):
            continue
        return [f"newest run: {path}", *lines, f"of others: lenet-bench links RUN --tracking-uri {uri}"]
    return []


def make_links(store: Store, sweep: Sweep, parent_id: str) -> Links:
    """The links, from an open store. `parent_id`: of the sweep's own run."""
    experiment = f"#/experiments/{store.experiment_id}"
    order, saved = find_order(store, parent_id), saved_tags(store, sweep)
    if saved:
        view = f"{experiment}/runs?workflowType=machine_learning&viewStateShareKey="
        table = view + sweep.view_key("trials")
        groups = view + sweep.view_key("groups") if TAG + sweep.view_key("groups") in saved else ""
    else:
        name, ascending = order
        table = (
            f"{experiment}/runs?workflowType=machine_learning&searchFilter={quote(children_of(parent_id), safe='')}"
            f"&orderByKey={quote(f'metrics.`{name}`', safe='')}&orderByAsc={str(ascending).lower()}&startTime=ALL"
            "&lifecycleFilter=Active"
        )
        groups = ""
    ids = find_compared(store, sweep, parent_id, order)
    compare = (
        f"#/compare-runs?runs={quote(json.dumps(ids, separators=(',', ':')), safe='')}"
        f"&experiments={quote(json.dumps([store.experiment_id]), safe='')}&workflowType=machine_learning"
        if len(ids) > 1
        else ""
    )
    own = f"{experiment}/runs/{parent_id}?workflowType=machine_learning"
    return Links(table, table + "&compareRunsMode=CHART", groups, compare, own)


def find_compared(store: Store, sweep: Sweep, parent_id: str, order: tuple[str, bool]) -> list[str]:
    """Ids of the baseline's run and of the best `TOP` others."""
    name, ascending = order
    baseline = search_ids(store, f"tags.`bench.trial_uid` = '{sweep.uid}:{sweep.baseline}'")
    best = search_ids(
        store,
        f"{children_of(parent_id)} AND attributes.status = 'FINISHED'",
        [f"metrics.`{name}` {'ASC' if ascending else 'DESC'}"],
        TOP + 1,
    )
    return baseline + [run_id for run_id in best if run_id not in baseline][:TOP]
