"""Ready-made comparisons in MLflow's UI: saved views of a sweep, and the links that open them.

An open store and a run's folder go in; experiment tags that the UI reads as saved views, and `Links`, come out. The
format of saved views is internal to MLflow (3.15 and later); for other versions the links carry filter and order
instead, and no columns.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from bench.draws import read_draws
from bench.record import Run
from bench.store import Store, TrackingError, mask, open_store, sqlite_path, without_credentials

if TYPE_CHECKING:
    import pandas as pd

SAVED_VIEWS_SINCE = (3, 15)
VIEW_LIMIT = 20_000  # characters of an experiment tag
TOP = 5
PHASES = ("forward", "backward", "step")


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


def children_of(parent_id: str) -> str:
    """The filter that leaves the trials of one sweep."""
    return f"tags.`mlflow.parentRunId` = '{parent_id}'"


def order(run: Run) -> tuple[str, bool]:
    """The metric that trials are sorted by, and whether the smallest comes first: accuracy, or time where nothing was
    trained.
    """
    trained = any(draws.seeds for draws in read_draws(run).values())
    return ("test/accuracy", False) if trained else ("step/ms", True)


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


def _find(store: Store, condition: str, order_by: list[str] | None = None, most: int = 1) -> list[str]:
    found = store.call(
        store.client.search_runs,
        [store.experiment_id],
        filter_string=condition,
        order_by=order_by,
        max_results=most,
    )
    return [str(one.info.run_id) for one in found]


TAG = "mlflow.sharedViewState."


def view_key(run: Run, kind: str) -> str:
    """The name by which a link finds a saved view."""
    return re.sub(r"[^\w-]", "-", f"bench-{run.experiment['uid']}-{kind}")[:150]


def takes_saved_views(version: str) -> bool:
    """Does this version of MLflow read the tags? They are an internal format, known for 3.15 up to before 4."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return bool(numbers) and SAVED_VIEWS_SINCE <= (int(numbers[1]), int(numbers[2])) < (4, 0) if numbers else False


def saved_tags(store: Store, run: Run) -> Mapping[str, str]:
    """The saved views of a run that the store holds and its MLflow understands."""
    if not takes_saved_views(store.version):
        return {}
    tags = store.call(store.client.get_experiment, store.experiment_id).tags
    wanted = TAG + view_key(run, "trials")
    return {name: value for name, value in tags.items() if name.startswith(TAG)} if wanted in tags else {}


def write_views(store: Store, run: Run, parent_id: str) -> None:
    """Saves the views of a sweep, or renews them. Does nothing for a version of MLflow that does not read them."""
    if not takes_saved_views(store.version):
        return
    metrics = _metrics(store, run, parent_id)
    tags = store.call(store.client.get_experiment, store.experiment_id).tags
    for kind, title in (("trials", "trials"), ("groups", f"by {next(iter(run.experiment['axes']), '')}")):
        if kind == "groups" and not run.experiment["axes"]:
            continue
        state = view_state(run, parent_id, metrics, grouped=kind == "groups")
        packed = "deflate;" + base64.b64encode(zlib.compress(json.dumps(state, sort_keys=True).encode(), 9)).decode()
        value = json.dumps(
            {
                "name": f"{run.experiment['name']} {run.path.name}: {title}"[:120],
                "createdAt": round(float(run.experiment.get("started_s", 0)) * 1000),
                "state": packed,
            }
        )
        name = TAG + view_key(run, kind)
        if len(value) <= VIEW_LIMIT and tags.get(name) != value:
            store.call(store.client.set_experiment_tag, store.experiment_id, name, value)


def _metrics(store: Store, run: Run, parent_id: str) -> set[str]:
    """Names of the metrics that a finished trial of the sweep has."""
    first = store.call(
        store.client.search_runs,
        [store.experiment_id],
        f"{children_of(parent_id)} AND attributes.status = 'FINISHED'",
        max_results=20,
    )
    return {name for one in first for name in one.data.metrics}


def view_state(run: Run, parent_id: str, metrics: set[str], *, grouped: bool) -> dict[str, Any]:
    """What the UI shall show, in its own words: filter, order, columns and their widths, groups, charts.

    **Arguments:**

    - `metrics`: names that the sweep's trials have; columns and charts of others are left out.
    - `grouped`: averages by the first axis, instead of trials.
    """
    axes = run.experiment["axes"]
    numeric = [knob for knob in axes if f"config/{knob}" in metrics]
    name, ascending = order(run)
    columns = [f"params.`{knob}`" for knob in axes]
    columns += [f"metrics.`{metric}`" for metric in _columns() if metric in metrics]
    columns += ["tags.`bench.status`", "attributes.`Duration`"]
    state: dict[str, Any] = {
        "searchFilter": children_of(parent_id),
        "orderByKey": f"metrics.`{name}`",
        "orderByAsc": ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": {column: 118 if "/ci95_ms" in column else 105 for column in columns},
        "runsHiddenMode": "SHOW_ALL",
        **charts(axes, numeric, metrics, baseline_first=not grouped),
    }
    if grouped:
        by = {"mode": "param", "groupByData": next(iter(axes))}
        state["groupBy"] = {"aggregateFunction": "average", "groupByKeys": [by]}
    return state


def _columns() -> list[str]:
    names = ["test/accuracy", "test/ci95"]
    for phase in reversed(PHASES):
        names += [f"{phase}/ms", f"{phase}/ci95_ms"]
    return [*names, "forward/images_per_s", "step/images_per_s", "memory/peak_mib"]


def charts(axes: Mapping[str, Any], numeric: list[str], metrics: set[str], *, baseline_first: bool) -> dict[str, Any]:
    """The charts of a view, in one section of its own: parallel coordinates, accuracy against time, bars, difference,
    curves.
    """
    section = "bench-charts"
    cards: list[dict[str, Any]] = []

    def add(kind: str, **content: Any) -> None:
        cards.append({
            "uuid": f"bench-{len(cards)}", "type": kind, "metricSectionId": section, "deleted": False,
            "isGenerated": False, "runsCountToCompare": 100, **content,
        })  # fmt: skip

    # The last one gives the lines their colour.
    answers = [metric for metric in ("forward/ms", "step/ms", "test/accuracy") if metric in metrics]
    add(
        "PARALLEL",
        displayName="Parallel coordinates",
        selectedParams=[knob for knob in axes if knob not in numeric],
        selectedMetrics=[f"config/{knob}" for knob in numeric] + answers,
    )
    for metric in ("step/ms", "forward/ms"):
        if metric in metrics and "test/accuracy" in metrics:
            add(
                "SCATTER",
                displayName=f"Accuracy against {metric}",
                xaxis={"key": metric, "type": "METRIC"},
                yaxis={"key": "test/accuracy", "type": "METRIC"},
            )
    for metric in ("test/accuracy", *(f"{phase}/ms" for phase in PHASES), "memory/peak_mib"):
        if metric in metrics:
            add("BAR", displayName=metric, metricKey=metric)
    if "epoch/validation_accuracy" in metrics:
        add("LINE", displayName="Validation accuracy by epoch", metricKey="epoch/validation_accuracy",
            selectedMetricKeys=["epoch/validation_accuracy"], xAxisKey="step")  # fmt: skip
    if baseline_first:
        add(
            "DIFFERENCE",
            displayName="Difference",
            compareGroups=["Model metrics", "Parameters"],
            showChangeFromBaseline=True,
            showDifferencesOnly=True,
        )
    return {
        "compareRunCharts": cards,
        "compareRunSections": [{"uuid": section, "name": "LeNet Bench", "display": True, "isReordered": False,
                                "deleted": False, "isGenerated": False, "columns": 2, "cardHeight": 400}],
        "isAccordionReordered": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }  # fmt: skip
