"""Ready-made comparisons in MLflow's UI: saved views of a sweep, and the links that open them.

An open store and a run's folder go in; experiment tags that the UI reads as saved views, and `Links`, come out. The
format of saved views is internal to MLflow (3.15 and later); for other versions the links carry filter and order
instead, and no columns.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

from bench.records.run import Run
from bench.tracking.store import Store

SAVED_VIEWS_SINCE = (3, 15)
VIEW_LIMIT = 20_000  # characters of an experiment tag
TOP = 5
PHASES = ("forward", "backward", "step")


def children_of(parent_id: str) -> str:
    """The filter that leaves the trials of one sweep."""
    return f"tags.`mlflow.parentRunId` = '{parent_id}'"


def order(run: Run) -> tuple[str, bool]:
    """The metric that trials are sorted by, and whether the smallest comes first: accuracy, or time where nothing was
    trained.
    """
    trained = any(record.accuracies() for record in run.each())
    return ("test/accuracy", False) if trained else ("step/ms", True)


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
