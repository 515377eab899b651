"""Saved views of a sweep in MLflow's UI: which trials, columns, order and charts it shows at one click.

The UI reads them from tags of the experiment. Their format is internal to MLflow (3.15 and later); other versions get
none, and `bench.tracking.links` then puts filter and order into the link itself.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.experiment.trial import PHASES
from bench.records.run import Run
from bench.tracking.store import Store

SAVED_VIEWS_SINCE = (3, 15)
VIEW_LIMIT = 20_000  # characters of an experiment tag
TAG = "mlflow.sharedViewState."


@dataclass(frozen=True)
class Sweep:
    """Which sweep a view or a link shows: what is known of it before its records are read.

    **Arguments:**

    - `folder`: of the run. `uid`, `experiment`: of the sweep, and the name of what was run.
    - `axes`: the knobs that vary, with their levels. `baseline`: the key of the trial that others are compared with.
    - `started_ms`: since the epoch. `extensions`: Python files of people's own layers.
    """

    folder: Path
    uid: str
    experiment: str
    axes: dict[str, list[Any]]
    baseline: str = ""
    started_ms: int = 0
    extensions: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, run: Run) -> Sweep:
        """From the run's description."""
        known = run.experiment
        return cls(
            run.path.resolve(),
            known["uid"],
            known["name"],
            known["axes"],
            known.get("baseline", ""),
            round(float(known.get("started_s", 0)) * 1000),
            known.get("content", {}).get("extensions", []),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for one line of JSON."""
        return {**vars(self), "folder": str(self.folder)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Sweep:
        """The inverse of `to_dict`."""
        return cls(**{**values, "folder": Path(values["folder"])})

    def view_key(self, kind: str) -> str:
        """The name by which a link finds a saved view."""
        return re.sub(r"[^\w-]", "-", f"bench-{self.uid}-{kind}")[:150]


def children_of(parent_id: str) -> str:
    """The filter that leaves the trials of one sweep."""
    return f"tags.`mlflow.parentRunId` = '{parent_id}'"


def search_ids(store: Store, condition: str, order_by: list[str] | None = None, most: int = 1) -> list[str]:
    """Ids of the first runs that meet a condition."""
    runs = store.call(
        store.client.search_runs, [store.experiment_id], filter_string=condition, order_by=order_by, max_results=most
    )
    return [str(run.info.run_id) for run in runs]


def find_order(store: Store, parent_id: str) -> tuple[str, bool]:
    """The metric that trials are sorted by, and whether the smallest comes first: accuracy, or the time of a step where
    no trial of the sweep has one.
    """
    learned = search_ids(store, f"{children_of(parent_id)} AND metrics.`test/accuracy` >= 0")
    return ("test/accuracy", False) if learned else ("step/ms", True)


def takes_saved_views(version: str) -> bool:
    """Does this version of MLflow read the tags? They are an internal format, known for 3.15 up to before 4."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is not None and SAVED_VIEWS_SINCE <= (int(numbers[1]), int(numbers[2])) < (4, 0)


def saved_tags(store: Store, sweep: Sweep) -> Mapping[str, str]:
    """The saved views of a sweep that the store holds and its MLflow understands."""
    if not takes_saved_views(store.version):
        return {}
    tags = store.call(store.client.get_experiment, store.experiment_id).tags
    wanted = TAG + sweep.view_key("trials")
    return {name: value for name, value in tags.items() if name.startswith(TAG)} if wanted in tags else {}


def write_views(store: Store, sweep: Sweep, parent_id: str) -> None:
    """Saves the views of a sweep, or renews them. Does nothing for a version of MLflow that does not read them."""
    if not takes_saved_views(store.version):
        return
    metrics, order = _metric_names(store, parent_id), find_order(store, parent_id)
    tags = store.call(store.client.get_experiment, store.experiment_id).tags
    for kind, title in (("trials", "trials"), ("groups", f"by {next(iter(sweep.axes), '')}")):
        if kind == "groups" and not sweep.axes:
            continue
        state = view_state(sweep.axes, parent_id, metrics, order, grouped=kind == "groups")
        packed = "deflate;" + base64.b64encode(zlib.compress(json.dumps(state, sort_keys=True).encode(), 9)).decode()
        value = json.dumps(
            {
                "name": f"{sweep.experiment} {sweep.folder.name}: {title}"[:120],
                "createdAt": sweep.started_ms,
                "state": packed,
            }
        )
        name = TAG + sweep.view_key(kind)
        if len(value) <= VIEW_LIMIT and tags.get(name) != value:
            store.call(store.client.set_experiment_tag, store.experiment_id, name, value)


def _metric_names(store: Store, parent_id: str) -> set[str]:
    """Names of the metrics that finished trials of the sweep have; twenty trials tell."""
    runs = store.call(
        store.client.search_runs,
        [store.experiment_id],
        f"{children_of(parent_id)} AND attributes.status = 'FINISHED'",
        max_results=20,
    )
    return {name for run in runs for name in run.data.metrics}


def view_state(
    axes: Mapping[str, Any], parent_id: str, metrics: set[str], order: tuple[str, bool], *, grouped: bool
) -> dict[str, Any]:
    """What the UI shall show, in its own words: filter, order, columns and their widths, groups, charts.

    **Arguments:**

    - `metrics`: names that the sweep's trials have; columns and charts of others are left out.
    - `order`: the metric that trials are sorted by, and whether the smallest comes first.
    - `grouped`: averages by the first axis, instead of trials.
    """
    numeric = [knob for knob in axes if f"config/{knob}" in metrics]
    name, ascending = order
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
