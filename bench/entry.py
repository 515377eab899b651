"""What MLflow shall hold of one trial, and of a sweep: plain names, numbers and texts, made from records.

Records, the experiment and rows of the table go in; frozen `Entry` values come out. Equal records give equal entries,
on every machine, so that their digest says whether a store is up to date. No MLflow here: `bench.tracking` sends what
this module makes.
"""

from __future__ import annotations

import hashlib
import json
import math
import numbers
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.record import Record, Run

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]

LAYOUT = 1  # raise it when names below change: the next sync then rebuilds what older versions sent

IDENTITY = (
    "architecture", "activation", "pooling", "init", "normalization", "data", "batch_size", "epochs", "optimizer",
    "learning_rate", "device", "threads", "dtype", "backend",
)  # fmt: skip
"""Knobs that every trial shows as a parameter, whether they vary or not."""

METRICS = {
    "test_accuracy": "test/accuracy",
    "test_accuracy_low": "test/accuracy_low",
    "test_accuracy_high": "test/accuracy_high",
    "validation_accuracy": "validation/accuracy",
    "best_epoch": "validation/best_epoch",
    "train_s": "train/seconds",
    **{
        f"{phase}_{column}": f"{phase}/{metric}"
        for phase in ("forward", "backward", "step")
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

CURVES = ("train_loss", "validation_loss", "validation_accuracy", "test_accuracy", "learning_rate")

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#7f7f7f", "#bcbd22", "#332288")
"""Told apart by people who see colours differently (Okabe and Ito 2008), and four more for long axes."""

STATUSES = {"ok": "FINISHED", "failed": "FAILED", "skipped": "KILLED"}
"""A skipped trial never ran. Only trials with results are FINISHED, so that filtering by it leaves the ranking."""

TEXT_LIMIT = 4_000  # characters of a tag; MLflow cuts at 5,000 or 8,000 by version
NOTE_ROWS = 20
NOTE_LIMIT = 7_500


@dataclass(frozen=True)
class Entry:
    """One run as MLflow shall hold it.

    **Arguments:**

    - `uid`: the same for the same trial of the same sweep, for ever.
    - `name`, `status`: as MLflow's UI shows them; `start_ms`, `end_ms`: since the epoch.
    - `params`: name -> text. `metrics`: (name, value, step), finite and rounded. `tags`: name -> text.
    """

    uid: str
    name: str
    status: str
    start_ms: int
    end_ms: int
    params: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[str, float, int]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits: a hash of everything above."""
        content = json.dumps([LAYOUT, vars(self)], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def rounded(value: object) -> float | None:
    """A number as MLflow's UI, which shows every digit, should get it: 6 significant digits; None if it is no finite
    number.

    Whole numbers stay whole, because counts are exact.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        return None
    number = float(value)
    return number if number.is_integer() else float(f"{number:.6g}")


def text(value: object) -> str:
    """A value as a parameter or tag, within MLflow's limit."""
    return str(value)[:TEXT_LIMIT]


def trial_entries(run: Run, records: Iterable[Record], table: pd.DataFrame) -> list[Entry]:
    """An entry a record.

    **Arguments:**

    - `table`: one row a trial, as `bench.table.build_table` makes it; rows are found by their `key`.
    """
    rows = {row["key"]: row for row in table.to_dict("records")} if len(table) else {}
    shared = sweep_tags(run)
    return [trial_entry(run, record, rows.get(record.key, {}), shared) for record in records]


def trial_entry(run: Run, record: Record, row: Row, shared: Mapping[str, str]) -> Entry:
    """The entry of one trial: final values once, at step 0, and curves by epoch, the mean over seeds."""
    knobs = {knob: value for section in record.trial.values() for knob, value in section.items()}
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
        name=text(record.name),
        status=STATUSES[record.status],
        start_ms=round(record.started_s * 1000),
        end_ms=round(record.ended_s * 1000),
        params={knob: text(knobs[knob]) for knob in names if knob in knobs},
        metrics=[(name, value, 0) for name, value in final_values(row, knobs, axes).items()] + curves(record),
        tags={name: value for name, value in tags.items() if value},
    )


def final_values(row: Row, knobs: Row, axes: Iterable[str]) -> dict[str, float]:
    """The numbers of one trial; numeric axes too, as `config/...`, because MLflow sorts parameters as text."""
    values = {name: rounded(row.get(column)) for column, name in METRICS.items()}
    values |= {f"config/{knob}": rounded(knobs.get(knob)) for knob in axes}
    return {name: value for name, value in values.items() if value is not None}


def curves(record: Record) -> list[tuple[str, float, int]]:
    """What was seen each epoch, `(epoch/name, mean over the seeds that have it, epoch)`."""
    points: dict[tuple[str, int], list[float]] = {}
    for seed in record.seeds:
        for epoch in seed.history:
            for name in CURVES:
                if (value := epoch.get(name)) is not None:
                    points.setdefault((f"epoch/{name}", int(epoch["epoch"])), []).append(float(value))
    means = {place: rounded(statistics.fmean(values)) for place, values in sorted(points.items())}
    return [(name, mean, step) for (name, step), mean in means.items() if mean is not None]


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


def sweep_entry(run: Run, records: list[Record], table: pd.DataFrame) -> Entry:
    """The entry of the sweep itself: counts, and a description with the ranking. KILLED while trials are still
    missing.
    """
    counts = {status: sum(record.status == status for record in records) for status in ("ok", "failed", "skipped")}
    total = len(run.experiment["trials"])
    started_s = run.experiment.get("started_s") or min((record.started_s for record in records), default=0.0)
    ended_s = max((record.ended_s for record in records), default=started_s)
    counted = {"trials": total, **counts, "missing": total - len(records)}
    return Entry(
        uid=run.experiment["uid"],
        name=text(f"{run.experiment['name']} {run.path.name}"),
        status="FINISHED" if len(records) >= total else "KILLED",
        start_ms=round(started_s * 1000),
        end_ms=round(ended_s * 1000),
        metrics=[(f"sweep/{name}", float(count), 0) for name, count in counted.items()],
        tags={**sweep_tags(run), "bench.role": "sweep", "mlflow.note.content": note(run, records, table)},
    )


NOTE_COLUMNS = {
    "test_accuracy": "test accuracy",
    "forward_ms": "forward ms",
    "backward_ms": "backward ms",
    "step_ms": "step ms",
    "step_images_per_s": "images/s",
    "peak_memory_mib": "memory MiB",
}


def note(run: Run, records: list[Record], table: pd.DataFrame) -> str:
    """The sweep's description in Markdown: the question, the best trials with their intervals, what failed. Bounded."""
    axes = list(run.experiment["axes"])
    rows = ranked(table)
    shown = [column for column in NOTE_COLUMNS if any(rounded(row.get(column)) is not None for row in rows)]
    lines = [markdown(run.experiment.get("question") or run.experiment["name"]), ""]
    lines.append("| " + " | ".join(["trial", *axes, *(NOTE_COLUMNS[column] for column in shown)]) + " |")
    lines.append("|" + "---|" * (1 + len(axes)) + "---:|" * len(shown))
    for row in rows[:NOTE_ROWS]:
        cells = [markdown(row.get(name, "")) for name in ("name", *axes)] + [
            with_interval(row, column) for column in shown
        ]
        lines.append("| " + " | ".join(cells) + " |")
    if len(rows) > NOTE_ROWS:
        lines.append(f"\nand {len(rows) - NOTE_ROWS} more. Square brackets: 95 % intervals.")
    else:
        lines.append("\nSquare brackets: 95 % intervals.")
    unwell = [record for record in records if record.status != "ok"]
    lines += [""] * bool(unwell) + [
        f"- {record.status}: {markdown(record.name)}, {markdown(record.reason or record.cause)}"
        for record in unwell[:NOTE_ROWS]
    ]
    while len("\n".join(lines)) > NOTE_LIMIT:
        lines.pop()
    return "\n".join(lines)


def ranked(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows with results, the best accuracy first, the faster first among equals."""
    rows = [row for row in table.to_dict("records") if row.get("status", "ok") == "ok"]

    def place(row: Row) -> tuple[float, float]:
        accuracy, step_ms = rounded(row.get("test_accuracy")), rounded(row.get("step_ms"))
        return (-accuracy if accuracy is not None else math.inf, step_ms if step_ms is not None else math.inf)

    return [{str(name): value for name, value in row.items()} for row in sorted(rows, key=place)]


def with_interval(row: Row, column: str) -> str:
    """`0.981 [0.975, 0.987]`, or as much of it as is known."""
    value, low, high = (rounded(row.get(name)) for name in (column, f"{column}_low", f"{column}_high"))
    if value is None:
        return ""

    def short(number: float) -> str:
        return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"

    return short(value) + (f" [{short(low)}, {short(high)}]" if low is not None and high is not None else "")


def markdown(value: object) -> str:
    """Text that stays text inside a Markdown table."""
    plain = " ".join(str(value).split())
    for sign in "\\`*_[]<>|#":
        plain = plain.replace(sign, "\\" + sign)
    return plain[:200]
