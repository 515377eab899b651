"""From an experiment file to a run's folder: new, resumed, or found again.

What was asked is written whole into `experiment.json`, so that a run can be resumed after its file has changed.
"""

from __future__ import annotations

import shlex
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import machine
from bench.experiment import Experiment, ExperimentError, check, override, read_file
from bench.launch import ask as ask_worker
from bench.record import RecordError, Run, all_runs, find_run
from lenet.variant import CHOICES

Offer = Callable[[Path, int, int], bool]


def learn_extensions(content: dict[str, Any], path: Path | None) -> None:
    """Adds the names that a file's extensions register to `CHOICES`; a worker imports them, since they import torch."""
    names = content.get("extensions")
    if not isinstance(names, list) or not names:
        return
    paths = check({"extensions": names}, path).extensions
    answer = ask_worker({"kind": "choices", "extensions": paths})
    if answer["kind"] == "failed":
        raise ExperimentError(f"{path}: extensions: {answer['reason']}")
    for knob, choices in answer["choices"].items():
        CHOICES[knob].update(choices)


def plan_experiment(file: Path, settings: Sequence[str]) -> Experiment:
    """Reads and unfolds a file. Raises `ExperimentError`."""
    return _read(file, settings)[0]


def _read(file: Path, settings: Sequence[str]) -> tuple[Experiment, dict[str, Any]]:
    content = override(read_file(file), settings)
    learn_extensions(content, file)
    return check(content, file), content


def start_run(
    file: Path, settings: Sequence[str], results: Path, command: Sequence[str], ask: Offer
) -> tuple[Experiment, Run]:
    """A new run of a file, or an interrupted one of the same trials if `ask` says so. Raises `ExperimentError`,
    `RecordError`.
    """
    experiment, content = _read(file, settings)
    unfinished = find_unfinished(experiment, results)
    if unfinished is not None and ask(unfinished.path, sum(1 for _ in unfinished.each()), len(experiment.trials)):
        return experiment, unfinished
    started = time.time()
    description: dict[str, Any] = {
        "name": experiment.name,
        "uid": uuid.uuid4().hex,
        "question": experiment.question,
        "expect": experiment.expect,
        "axes": experiment.axes,
        "seeds": experiment.seeds,
        "timing": experiment.timing.model_dump(),
        "limits": experiment.limits.model_dump(),
        "trials": [{"key": n.trial.key, "name": n.name, "trial": n.trial.to_dict()} for n in experiment.trials],
        "baseline": experiment.baseline.key,
        "git": machine.git_state(Path(__file__).parent),
        "started_s": started,
        "command": "lenet-bench " + shlex.join(command),
        "file": str(file),
        "content": content,
    }
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(started))
    folder = results.resolve() / experiment.name / stamp
    if folder.exists():
        folder = folder.with_name(f"{stamp}-{description['uid'][:4]}")
    return experiment, Run.create(folder, description, machine.fingerprint())


def resume_run(results: Path, name: str) -> tuple[Experiment, Run]:
    """A run that has begun, and the experiment as it was asked then. Raises `RecordError`, `ExperimentError`.

    Times of two machines are never mixed in one run: on another machine than it began on, it is refused.
    """
    run = Run.open(find_run(results, name))
    content, file = run.experiment.get("content"), run.experiment.get("file")
    if content is None:
        raise RecordError(f"{run.path}: experiment.json does not hold what was asked; start a new run")
    here = machine.fingerprint()
    for what in ("id", "torch"):
        if run.machine.get(what) != here.get(what):
            raise RecordError(
                f"{run.path}: began with {what} {run.machine.get(what)}, here it is {here.get(what)}; start a new run"
            )
    path = Path(file) if file else None
    learn_extensions(content, path)
    return check(content, path), run


def discard_if_empty(run: Run) -> None:
    """Removes the folder of a run that ended before anything was recorded in it."""
    if not run.records_file.path.exists() and not run.parts_file.path.exists():
        shutil.rmtree(run.path, ignore_errors=True)


def find_unfinished(experiment: Experiment, results: Path) -> Run | None:
    """The newest run of the same trials, if it was interrupted: some trial of it has no record."""
    try:
        run = Run.open(find_run(results, experiment.name))
        asked = [trial["key"] for trial in run.experiment["trials"]]
        recorded = {record.key for record in run.each()}
    except (RecordError, KeyError):
        return None
    if asked != [named.trial.key for named in experiment.trials] or recorded >= set(asked):
        return None
    return run if run.experiment.get("seeds") == experiment.seeds else None


def list_runs(results: Path) -> list[str]:
    """One line a run, newest last: folder, trials by status."""
    lines = []
    for path in all_runs(results):
        try:
            run = Run.open(path)
            counts = [record.status for record in run.each()]
        except RecordError as error:
            lines.append(f"{path}  {error}")
            continue
        missing = len(run.experiment["trials"]) - len(counts)
        parts = [f"{counts.count(status)} {status}" for status in ("ok", "failed", "skipped") if status in counts]
        parts += [f"{missing} missing"] if missing else []
        lines.append(f"{path}  {', '.join(parts)}")
    return lines
