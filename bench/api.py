"""The door for notebooks and scripts: plain values in, DataFrames out.

    from bench import api

    api.runs()                                                        # what is under results/
    api.load("quick")                                                 # the table of the newest run of quick
    run = api.sweep({"base": {"data": "digits"}, "axes": {"activation": ["relu", "tanh"]}})
    api.time_module("mine:make_network", batch=(64, 1, 28, 28))       # under the sweep's own protocol
    api.compare("quick", "mlflow:RUN_ID").verdicts

`import bench` imports nothing heavy, and this module little; what each function needs it imports when it is called.
Errors are of `bench.errors`: one line that says what is wrong and what would be right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.experiment.trial import PHASES
from bench.watcher import Silent, Watcher

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from bench.compare.judge import Comparison
    from bench.records.run import Run

RESULTS = Path("results")


def load(run: str | Path, results: str | Path = RESULTS) -> pd.DataFrame:
    """The table of a run: one row a trial in the order of its plan, an interval beside every measured number.

    **Arguments:**

    - `run`: a run's folder, an experiment's name (its newest run), `EXPERIMENT/RUN`, or `latest`.
    - `results`: the folder under which it is looked for.

    The columns are those of `bench.analysis.table.build_table`: accuracies are shares in [0, 1], times in
    milliseconds. Raises `RecordError` for a run that is not there or cannot be read.
    """
    from bench.analysis.results import Results
    from bench.records.reading import Reading
    from bench.records.run import Run, find_run

    return Results(Reading(Run.open(find_run(Path(results), str(run))))).table


def runs(results: str | Path = RESULTS) -> pd.DataFrame:
    """Every run under a results folder, the newest last.

    Columns: `run` (what `load` takes), `experiment`, `started` (UTC), `trials` (planned), `ok`, `failed`, `skipped`,
    `missing`, `machine` (the fingerprint's id), `torch`, `commit`. Folders that cannot be read are left out.
    """
    import pandas as pd

    from bench.errors import RecordError
    from bench.records.reading import Reading
    from bench.records.run import Run, all_runs

    rows = []
    for path in all_runs(Path(results)):
        try:
            run = Run.open(path)
            statuses = [record.status for record in Reading(run)]
        except RecordError:
            continue
        counts = {status: statuses.count(status) for status in ("ok", "failed", "skipped")}
        planned = len(run.experiment["trials"])
        rows.append(
            {
                "run": str(path),
                "experiment": run.experiment["name"],
                "started": pd.Timestamp(run.experiment.get("started_s", 0), unit="s", tz="UTC"),
                "trials": planned,
                **counts,
                "missing": planned - len(statuses),
                "machine": run.machine.get("id", ""),
                "torch": run.machine.get("torch", ""),
                "commit": (run.experiment.get("git") or {}).get("commit") or "",
            }
        )
    columns = ["run", "experiment", "started", "trials", "ok", "failed", "skipped", "missing", "machine", "torch"]
    return pd.DataFrame(rows, columns=[*columns, "commit"])


def sweep(
    experiment: str | Path | Mapping[str, Any],
    *,
    settings: Sequence[str] = (),
    results: str | Path = RESULTS,
    data_root: str | Path | None = None,
    jobs: int | None = None,
    watcher: Watcher | None = None,
) -> Run:
    """Runs an experiment, trains and times its trials, and returns the finished run; `load(run.path)` is its table.

    **Arguments:**

    - `experiment`: a TOML file, or a mapping of the same content (`base`, `axes`, `seeds`, `timing`, ...; `name` is
      `experiment` unless it is given).
    - `settings`: as the command line's `--set`: `["batch_size=32,128", "seeds=2"]`.
    - `results`: the run's folder is made below it. `data_root`: where data sets are; digits need none.
    - `jobs`: training workers at a time, one a core if not given.
    - `watcher`: who is told how it goes; nobody if not given.

    A trial that fails is a record with its cause, and raises nothing. Raises `ExperimentError` for an experiment that
    cannot be run as written, `BadInputError` where it cannot start here, `RecordError` when the disk is full. Nothing
    is sent to MLflow: `lenet-bench sync RUN` does that.
    """
    from bench.machine.fingerprint import usable_cores
    from bench.sweep.start import start_run
    from bench.sweep.sweep import Sweep
    from bench.sweep.training_stage import Options
    from lenet.files import data_root as find_data_root

    root = find_data_root(Path(data_root) if data_root is not None else None).resolve()
    asked = experiment if isinstance(experiment, Mapping) else Path(experiment)
    command = ["api.sweep", "(a mapping)" if isinstance(experiment, Mapping) else str(experiment)]
    with start_run(asked, settings, Path(results), command, ask=lambda *_: False) as (checked, run):
        Sweep(checked, run, Options(jobs or usable_cores(), root), watcher or Silent()).execute()
    return run


def time_module(
    factory: str | Callable[[], nn.Module],
    batch: Sequence[int],
    *,
    phases: Sequence[str] = PHASES,
    processes: int = 5,
    rounds: int = 6,
    threads: int = 1,
    device: str = "cpu",
) -> pd.DataFrame:
    """Times a network of your own as a sweep times its trials: in fresh processes, one after another.

    In each process the module is built, warmed up, and each phase is timed in `rounds` blocks of about 20 ms, in random
    order, with the garbage collector off. The interval is Student's over processes.

    **Arguments:**

    - `factory`: what makes the module, called without arguments in each process: a top-level function of an importable
      module, or its name as `"package.module:function"`. A function of a notebook cannot be imported by another
      process; write it into a file.
    - `batch`: the shape of the images, `(images, channels, height, width)` or whatever the module takes; they are
      drawn once from a normal distribution. The module's output must be `(images, classes)`.
    - `phases`: `forward` (inference mode), `backward` (the backward pass alone) and `step` (a whole training step:
      cross-entropy, SGD with momentum at a rate of 0, so that weights stay put).
    - `processes`: fewer than 2 give no interval. `threads`: of torch. `device`: `cpu` or `cuda`.

    Returns a row a phase: `phase`, `ms` with `ms_low` and `ms_high` (95 %), `images_per_s`, `processes`, `blocks`.
    Raises `BadInputError` for a factory that cannot be imported or a module that cannot be run, `ChoiceError` for an
    unknown phase.
    """
    import pandas as pd

    from bench.analysis.repeats import process_medians
    from bench.statistics.intervals import exp_interval
    from bench.sweep.module_timing import time_factory

    placement = {"device": device, "threads": threads}
    samples = time_factory(factory, tuple(batch), tuple(phases), processes, rounds, placement, Silent())
    rows = []
    for phase, blocks in samples.items():
        seconds = exp_interval([math.log(median) for median in process_medians(blocks).values()])
        times = {"ms": seconds.value * 1e3, "ms_low": seconds.low * 1e3, "ms_high": seconds.high * 1e3}
        counts = {"images_per_s": batch[0] / seconds.value, "processes": seconds.n, "blocks": len(blocks)}
        rows.append({"phase": phase, **times, **counts})
    return pd.DataFrame(rows)


def compare(
    base: str | Path,
    head: str | Path,
    *,
    tolerance: float = 0.05,
    alpha: float = 0.01,
    results: str | Path = RESULTS,
    tracking_uri: str | None = None,
) -> Comparison:
    """Compares two stored results: what became slower or faster, what is the same, what cannot be told.

    **Arguments:**

    - `base`, `head`: a run as in `load`, a table (`.csv`, `.parquet`), a baseline (`.txt`), `mlflow:RUN_ID`, or files
      of pytest-benchmark. Slower and faster are said of `head`.
    - `tolerance`: changes up to this share count as the same. `alpha`: the chance of any false verdict over all.

    Returns what `lenet-bench compare` prints: `verdicts` (one a benchmark), `header`, `exit_code`. Raises `SideError`
    for what cannot be compared, `RecordError`, `TrackingError`.
    """
    from bench.compare.judge import compare as judge
    from bench.compare.read import read_side

    before, after = (read_side(str(side), Path(results), tracking_uri) for side in (base, head))
    return judge(before, after, tolerance, alpha)
