"""What MLflow shall hold of a trial and of its sweep: an `Entry` of plain names, numbers and texts for each.

They are made of a run's results. Equal records give equal entries, on every machine, so that an entry's digest says
whether a store is up to date. There is no MLflow here: `bench.tracking.sync` sends what this module makes.
"""

from __future__ import annotations

import hashlib
import json
import math
import numbers
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bench.experiment.trial import PHASES
from bench.records.record import Record
from bench.records.run import Run
from bench.text.numbers import rounded, rounded_half_width
from bench.tracking.description import Row, describe

if TYPE_CHECKING:
    import pandas as pd

    from bench.analysis.results import Results

LAYOUT = 2  # raise it when names below change: the next sync then rebuilds what older versions sent

IDENTITY = (
    "architecture", "activation", "pooling", "init", "normalization", "data", "batch_size", "epochs", "optimizer",
    "learning_rate", "device", "threads", "dtype", "backend",
)  # fmt: skip
"""Knobs that every trial shows as a parameter, whether they vary or not."""

TABLES_UP_TO = 500  # trials; a table of its own for each of thousands costs more than anybody looks at
PHASE_TABLE = "phases.json"

METRICS = {
    "test_accuracy": "test/accuracy",
    "test_accuracy_low": "test/accuracy_low",
    "test_accuracy_high": "test/accuracy_high",
    "validation_accuracy": "validation/accuracy",
    "best_epoch": "validation/best_epoch",
    "train_s": "train/seconds",
    **{
        f"{phase}_{column}": f"{phase}/{metric}"
        for phase in PHASES
        for column, metric in (("ms", "ms"), ("ms_low", "ms_low"), ("ms_high", "ms_high"),
                               ("images_per_s", "images_per_s"), ("gflops_per_s", "gflops_per_s"))
    },
    **{
        f"reject_{measure}_{target}{bound}": f"rejection/{measure}_{target}{bound}"
        for measure in ("margin", "confidence") for target in ("1pct", "05pct") for bound in ("", "_low", "_high")
    },
    "train_accuracy": "train/accuracy",
    "parameters": "network/parameters",
    "macs": "network/macs",
    "connections": "network/connections",
    "peak_memory_mib": "memory/peak_mib",
}  # fmt: skip
"""Column of the table -> name in MLflow, where everything before the last slash becomes a section of the charts."""

HALF_WIDTHS = {"test_accuracy": "test/ci95", **{f"{phase}_ms": f"{phase}/ci95_ms" for phase in PHASES}}
"""Half of the 95 % interval: one narrow column of the UI's table instead of two."""

CURVES = ("train_loss", "validation_loss", "validation_accuracy", "test_accuracy", "learning_rate")

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#7f7f7f", "#bcbd22", "#332288")
"""Told apart by people who see colours differently (Okabe and Ito 2008), and four more for long axes."""

STATUSES = {"ok": "FINISHED", "failed": "FAILED", "skipped": "KILLED"}
"""A skipped trial never ran. Only trials with results are FINISHED, so that filtering by it leaves the ranking."""

TEXT_LIMIT = 4_000  # characters of a tag; MLflow cuts at 5,000 or 8,000 by version
NAME_LIMIT = 250  # characters of a run's name: PostgreSQL's column takes no more, sqlite's would
RANKING_ROWS = 500


@dataclass(frozen=True)
class Entry:
    """One run as MLflow shall hold it.

    **Arguments:**

    - `uid`: the same for the same trial of the same sweep, for ever.
    - `name`, `status`: as MLflow's UI shows them; `start_ms`, `end_ms`: since the epoch.
    - `params`: name -> text. `metrics`: (name, value, step), finite and rounded. `tags`: name -> text.
    - `data`: (name, digest) of each data set that was learned from.
    - `table`: `columns` and `data` (rows) of a table to compare with other runs'; may be empty.
    """

    uid: str
    name: str
    status: str
    start_ms: int
    end_ms: int
    params: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[str, float, int]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    data: list[tuple[str, str]] = field(default_factory=list)
    table: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits: a hash of everything above."""
        content = json.dumps([LAYOUT, vars(self)], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def text(value: object) -> str:
    """A value as a parameter or tag, within MLflow's limit."""
    return str(value)[:TEXT_LIMIT]


def run_name(value: str) -> str:
    """A run's name within MLflow's limit; one that is cut still ends on its own digits."""
    if len(value) <= NAME_LIMIT:
        return value
    mark = hashlib.sha256(value.encode()).hexdigest()[:8]
    return f"{value[: NAME_LIMIT - 9]}~{mark}"


def make_entries(results: Results) -> Iterator[Entry]:
    """An entry for each trial that was recorded, one at a time, and last the entry of the sweep itself."""
    run, rows = results.run, {row["key"]: row for row in _rows(results.table)}
    shared, data, ended = sweep_tags(run), set(), []
    for record in results.reading:
        row = rows.get(record.key, {})
        entry = trial_entry(run, record, row, shared)
        if len(rows) <= TABLES_UP_TO and record.status == "ok":
            entry.table.update(phase_table(row))
            entry.tags["mlflow.loggedArtifacts"] = json.dumps([{"path": PHASE_TABLE, "type": "table"}])
        yield entry
        data |= {(record.trial["recipe"]["data"], seed.data_digest) for seed in record.seeds if seed.data_digest}
        ended.append(replace(record, seeds=[], timing=None))
    note = describe(run, _rows(results.ranked), ended, _rows(results.effects))
    yield replace(sweep_entry(run, ended, note), data=sorted(data))


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def trial_entry(run: Run, record: Record, row: Row, shared: Mapping[str, str]) -> Entry:
    """The entry of one trial: final values once, at step 0, and curves by epoch, the mean over seeds."""
    knobs = record.knobs()
    axes = run.experiment["axes"]
    names = [*axes, *(knob for knob in IDENTITY if knob not in axes)]
    tags = {
        **shared,
        "bench.role": "trial",
        "bench.status": record.status,
        "bench.cause": text(record.cause),
        "bench.reason": text(record.reason),
        "bench.attempt": str(record.attempt),
        "bench.config_hash": record.key,
        "mlflow.runColor": color(knobs, axes),
    }
    for column in ("machine", "torch"):
        if isinstance(row.get(column), str):
            tags[f"bench.{column}"] = text(row[column])
    return Entry(
        uid=f"{run.experiment['uid']}:{record.key}",
        name=run_name(record.name),
        status=STATUSES[record.status],
        start_ms=round(record.started_s * 1000),
        end_ms=round(record.ended_s * 1000),
        params={knob: text(knobs[knob]) for knob in names if knob in knobs},
        # The numbers of a trial that failed half-way would be sorted in among those of the whole ones.
        metrics=[
            (name, value, 0) for name, value in final_values(row if record.status == "ok" else {}, knobs, axes).items()
        ]
        + curves(record),
        tags={name: value for name, value in tags.items() if value},
    )


def final_values(row: Row, knobs: Row, axes: Iterable[str]) -> dict[str, float]:
    """The numbers of one trial; numeric axes too, as `config/...`, because MLflow sorts parameters as text."""
    values = {name: rounded(row.get(column)) for column, name in METRICS.items()}
    for column, name in HALF_WIDTHS.items():
        values[name] = rounded_half_width(row.get(f"{column}_low"), row.get(f"{column}_high"))
    values |= {f"config/{knob}": rounded(knobs.get(knob)) for knob in axes}
    return {name: value for name, value in values.items() if value is not None}


def curves(record: Record) -> list[tuple[str, float, int]]:
    """What was seen each epoch, `(epoch/name, mean over the seeds that have it, epoch)`; a curve that never moves, as
    of a constant learning rate, is left out.
    """
    points: dict[str, dict[int, list[float]]] = {}
    for seed in record.seeds:
        for epoch in seed.history:
            for name in CURVES:
                if (value := epoch.get(name)) is not None:
                    points.setdefault(name, {}).setdefault(int(epoch["epoch"]), []).append(float(value))
    found = []
    for name, epochs in sorted(points.items()):
        means = {epoch: rounded(math.fsum(values) / len(values)) for epoch, values in sorted(epochs.items())}
        if len(means) == 1 or len(set(means.values())) > 1:
            found += [(f"epoch/{name}", mean, epoch) for epoch, mean in means.items() if mean is not None]
    return found


def color(knobs: Row, axes: Mapping[str, list[Any]]) -> str:
    """One colour a level of the first axis, so that a variant looks the same in every chart."""
    knob = next(iter(axes), None)
    level = axes[knob].index(knobs[knob]) if knob is not None and knobs.get(knob) in axes[knob] else 0
    return COLORS[level % len(COLORS)]


def sweep_tags(run: Run) -> dict[str, str]:
    """What is the same for all trials of a run: which sweep, which code, which machine."""
    git, experiment = run.experiment.get("git") or {}, run.experiment
    tags = {
        "bench.sweep_uid": experiment["uid"],
        "bench.experiment": text(experiment["name"]),
        "bench.schema": str(LAYOUT),
        "bench.host": text(run.machine.get("hostname", "")),
        "bench.git_dirty": str(bool(git.get("dirty"))).lower() if git else "",
        "mlflow.source.git.commit": text(git.get("commit") or ""),
        "mlflow.source.git.branch": text(git.get("branch") or ""),
        "mlflow.source.name": text(experiment.get("command") or "lenet-bench"),
        "mlflow.source.type": "LOCAL",
    }
    return {name: value for name, value in tags.items() if value}


def sweep_entry(run: Run, records: Sequence[Record], note: str) -> Entry:
    """The entry of the sweep itself: how many trials ended how, and a description. KILLED while trials are missing."""
    counts = {status: sum(record.status == status for record in records) for status in STATUSES}
    total = len(run.experiment["trials"])
    started_s = run.experiment.get("started_s") or min((record.started_s for record in records), default=0.0)
    ended_s = max((record.ended_s for record in records), default=started_s)
    counted = {"trials": total, **counts, "missing": total - len(records)}
    return Entry(
        uid=run.experiment["uid"],
        name=run_name(f"{run.experiment['name']} {run.path.name}"),
        status="FINISHED" if len(records) >= total else "KILLED",
        start_ms=round(started_s * 1000),
        end_ms=round(ended_s * 1000),
        metrics=[(f"sweep/{name}", float(count), 0) for name, count in counted.items()],
        tags={**sweep_tags(run), "bench.role": "sweep", "mlflow.note.content": note},
    )


def phase_table(row: Row) -> dict[str, Any]:
    """One row a phase: milliseconds with their interval, images per second."""
    columns = ["phase", "ms", "ms_low", "ms_high", "images_per_s"]
    data = [[phase, *(rounded(row.get(f"{phase}_{column}")) for column in columns[1:])] for phase in PHASES]
    return {"columns": columns, "data": [cells for cells in data if cells[1] is not None]}


def ranking_table(results: Results) -> dict[str, Any]:
    """The best trials as columns and rows, the form in which MLflow keeps tables."""
    columns = ["name", *results.run.experiment["axes"], "test_accuracy", "test_accuracy_low", "test_accuracy_high"]
    columns += [f"{phase}_ms{bound}" for phase in PHASES for bound in ("", "_low", "_high")]
    columns += ["step_images_per_s", "peak_memory_mib"]

    def cell(value: object) -> object:
        if isinstance(value, bool):  # which is a number too
            return value
        return rounded(value) if isinstance(value, numbers.Real) else value

    rows = _rows(results.ranked.head(RANKING_ROWS))
    return {"columns": columns, "data": [[cell(row.get(column)) for column in columns] for row in rows]}
