"""From an experiment file to a run's folder: new, resumed, or found again.

What was asked is written whole into `experiment.json`, so that a run can be resumed after its file has changed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shlex
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import BadInputError, BusyError, ExperimentError, RecordError
from bench.experiment.experiment import Experiment
from bench.experiment.file import check, check_name, override, read_file
from bench.machine import fingerprint as machine
from bench.machine.locks import lock
from bench.machine.processes import ask as ask_worker
from bench.records.run import Run, all_runs, find_run
from lenet.variant import CHOICES, ChoiceError

SECONDS_AN_UPDATE = 1.0e-3  # of one core; replaced by what this machine measured, where a run has left it
SECONDS_AN_IMAGE = 3.5e-5
SECONDS_A_PROCESS = 3.0  # start of an interpreter with torch


def estimate_s(experiment: Experiment, jobs: int) -> tuple[float, float]:
    """Rough seconds of the training and the timing stage, before anything ran.

    Training counts optimiser steps and images of the LeNet of the reading note on one core; timing counts blocks, and
    at most its budget. Good to a factor of two; what it is for is telling minutes from hours.
    """
    training = 0.0
    for named in experiment.trials:
        recipe = named.trial.recipe
        if recipe.data != "synthetic":
            training += recipe.total_updates * (SECONDS_AN_UPDATE + recipe.batch_size * SECONDS_AN_IMAGE)
    training = training * len(experiment.seeds) / max(1, jobs)
    settings = experiment.timing
    if not settings.enabled:
        return training, 0.0
    blocks = len(experiment.trials) * len(settings.phases) * settings.rounds
    process = SECONDS_A_PROCESS + len(experiment.trials) * 0.5 + blocks * settings.block_ms / 1e3 * 1.3
    return training, min(process * settings.processes, max(settings.budget_s, process))


Offer = Callable[[Path, int, int], bool]
Asked = Path | Mapping[str, Any]


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


def _read(asked: Asked, settings: Sequence[str]) -> tuple[Experiment, dict[str, Any]]:
    file = asked if isinstance(asked, Path) else None
    content = override(read_file(asked) if isinstance(asked, Path) else _plain(asked), settings)
    learn_extensions(content, file)
    return check(content, file), content


def _plain(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping as a TOML file would give it. Raises `ExperimentError` for values that no file could hold."""
    try:
        values: dict[str, Any] = json.loads(json.dumps(dict(mapping), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ExperimentError(f"the experiment holds what no file could: {error}; write plain values") from error
    return values


@contextlib.contextmanager
def start_run(
    asked: Asked, settings: Sequence[str], results: Path, command: Sequence[str], ask: Offer
) -> Iterator[tuple[Experiment, Run]]:
    """A new run of a file, or an interrupted one of the same trials if `ask` says so; its lock is held meanwhile.

    A new run in which nothing was recorded is removed if the block raises `BadInputError`. Raises `ExperimentError`,
    `RecordError`.

    **Arguments:**

    - `asked`: an experiment file, or a mapping of the same content. `settings`: as `--set` takes them.
    - `command`: what was typed, kept with the run.
    """
    experiment, content = _read(asked, settings)
    file = str(asked) if isinstance(asked, Path) else ""
    try:
        check_name(experiment.name)  # also one that comes from the file's own name, such as gate.toml
    except ChoiceError as error:
        raise ExperimentError(f"{file}: {error}" if file else str(error)) from error
    with _hold_unfinished(experiment, results) as unfinished:
        if unfinished is not None and ask(unfinished.path, sum(1 for _ in unfinished.each()), len(experiment.trials)):
            yield experiment, unfinished
            return
    started_s = time.time()
    description = _describe(experiment, content, file, command, started_s)
    fingerprint = machine.fingerprint()
    folder = _make_folder(results.resolve() / experiment.name, started_s)
    with _hold(folder):  # before experiment.json is there: nobody finds a run that is not locked
        run = Run.describe(folder, description, fingerprint)
        try:
            yield experiment, run
        except BadInputError:
            if not run.records_file.path.exists() and not run.parts_file.path.exists():
                shutil.rmtree(folder, ignore_errors=True)
            raise


def _describe(
    experiment: Experiment, content: dict[str, Any], file: str, command: Sequence[str], started_s: float
) -> dict[str, Any]:
    """What `experiment.json` holds: what was asked, and how and from which code it was started."""
    return {
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
        "started_s": started_s,
        "command": "lenet-bench " + shlex.join(command),
        "file": file,
        "content": content,
    }


def _make_folder(parent: Path, started_s: float) -> Path:
    """A new folder named for the time in UTC, and numbered if others began in the same second. Raises `RecordError`."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(started_s))
    for number in itertools.count(1):
        folder = parent / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError as error:
            if not parent.is_dir():
                raise RecordError(f"{folder}: cannot be made ({error.strerror})") from error
        except OSError as error:
            raise RecordError(f"{folder}: cannot be made ({error.strerror}); choose another with --results") from error
    return folder


def _hold(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Holds a run's lock. Raises `BusyError` if another process works on the run, `BadInputError`."""
    return lock(folder / "lock", f"{folder}: another process is working on this run")


@contextlib.contextmanager
def resume_run(results: Path, name: str) -> Iterator[tuple[Experiment, Run]]:
    """A run that has begun, and the experiment as it was asked then; its lock is held meanwhile.

    Times of two machines are never mixed in one run: on another machine than it began on, it is refused. Raises
    `BusyError` if another process works on it, `RecordError`, `ExperimentError`, `BadInputError`.
    """
    folder = find_run(results, name)
    with _hold(folder):
        run = Run.open(folder)
        content, file = run.experiment.get("content"), run.experiment.get("file")
        if content is None:
            raise RecordError(f"{run.path}: experiment.json does not hold what was asked; start a new run")
        here = machine.fingerprint()
        for what in ("id", "torch"):
            if run.machine.get(what) != here.get(what):
                raise RecordError(
                    f"{run.path}: began with {what} {run.machine.get(what)}, here it is {here.get(what)}; start a new"
                    " run"
                )
        path = Path(file) if file else None
        learn_extensions(content, path)
        yield check(content, path), run


@contextlib.contextmanager
def _hold_unfinished(experiment: Experiment, results: Path) -> Iterator[Run | None]:
    """The newest run of the same trials, with its lock held, if it was interrupted: some trial of it has no record,
    and no process is working on it.
    """
    with contextlib.ExitStack() as held:
        run = None
        with contextlib.suppress(IndexError, RecordError, BusyError, BadInputError):
            folder = all_runs(results, experiment.name)[-1]
            held.enter_context(_hold(folder))
            found = Run.open(folder)
            run = found if _is_unfinished(found, experiment) else None
        yield run


def _is_unfinished(run: Run, experiment: Experiment) -> bool:
    """Whether a run is of the experiment's trials and seeds, and some trial of it has no record."""
    asked = [trial.get("key") for trial in run.experiment["trials"]]
    if asked != [named.trial.key for named in experiment.trials] or run.experiment.get("seeds") != experiment.seeds:
        return False
    return not {record.key for record in run.each()} >= set(asked)
