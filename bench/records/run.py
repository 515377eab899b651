"""A run's folder: making it, opening it, finding it by what a person types, listing all."""

from __future__ import annotations

import calendar
import contextlib
import glob
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bench.errors import RecordError
from bench.records.files import sync_folder, write_json
from bench.records.journal import Journal
from bench.records.record import Record


@dataclass(frozen=True)
class Run:
    """One execution of an experiment: a folder under results/.

    `experiment` is the content of `experiment.json`: `name`, `uid` (unique), `question`, `axes` (each knob that varies
    and its values, in the file's order), `seeds` (a list), `timing` (the settings), `trials` (a list of `key`, `name`,
    `trial`), `baseline` (the key that others are compared with), `git` (`commit`, `branch`, `dirty`), `started_s`,
    `command`. `machine` is the content of `machine.json` (`bench.machine.fingerprint.fingerprint`).
    """

    path: Path
    experiment: dict[str, Any]
    machine: dict[str, Any]

    @classmethod
    def create(cls, path: Path, experiment: dict[str, Any], machine: dict[str, Any]) -> Run:
        """Makes the folder. Raises `RecordError` if it is there already or cannot be made."""
        try:
            path.mkdir(parents=True)
        except FileExistsError as error:
            raise RecordError(f"{path}: is there already; resume it with --resume") from error
        except OSError as error:
            raise RecordError(f"{path}: cannot be made ({error.strerror}); choose another with --results") from error
        return cls.describe(path, experiment, machine)

    @classmethod
    def describe(cls, path: Path, experiment: dict[str, Any], machine: dict[str, Any]) -> Run:
        """Writes the two files that make an empty folder a run's. Raises `RecordError`."""
        write_json(path / "machine.json", machine)
        write_json(path / "experiment.json", experiment)
        for folder in (path.parent, path.parent.parent):  # which may be new too
            sync_folder(folder)
        return cls(path, experiment, machine)

    @classmethod
    def open(cls, path: Path) -> Run:
        """Reads a run's folder. Raises `RecordError` if it is none."""
        try:
            experiment = orjson.loads((path / "experiment.json").read_bytes())
            machine = orjson.loads((path / "machine.json").read_bytes())
        except FileNotFoundError as error:
            raise RecordError(f"{path}: not a run's folder ({Path(error.filename).name} is missing)") from error
        except (OSError, ValueError) as error:
            raise RecordError(f"{path}: cannot be read ({error})") from error
        if not isinstance(machine, dict) or not isinstance(experiment, dict) or "trials" not in experiment:
            raise RecordError(f"{path}: experiment.json or machine.json is not what a run leaves")
        return cls(path, experiment, machine)

    @property
    def records_file(self) -> Journal:
        return Journal(self.path / "records.jsonl")

    @property
    def parts_file(self) -> Journal:
        return Journal(self.path / "parts.jsonl")

    def append(self, record: Record) -> None:
        """Records one trial. Raises `RecordError` when the disk is full."""
        self.records_file.append(record.to_dict())

    def each(self) -> Iterator[Record]:
        """The newest record of every trial, in the order of the plan, one at a time: all may be more than fits."""
        order = {trial["key"]: place for place, trial in enumerate(self.experiment["trials"])}
        return map(Record.from_dict, self.records_file.newest(order))

    def records(self) -> list[Record]:
        """All of `each`."""
        return list(self.each())


REFERENCE = "reference"  # the folder under results/ whose runs are part of the repository


def all_runs(results: Path, experiment: str | None = None) -> list[Path]:
    """The folders of all runs, or of one experiment's, oldest first; those of the repository are not among them.

    **Arguments:**

    - `results`: the folder under which runs are kept.
    - `experiment`: the name of one; None for all.
    """
    pattern = "*" if experiment is None else glob.escape(experiment)
    folders = [file.parent for file in results.glob(f"{pattern}/*/experiment.json")]
    return sorted((path for path in folders if path.parent.name != REFERENCE), key=lambda path: (began_s(path), path))


def reference_runs(results: Path) -> list[Path]:
    """The folders of the runs that are part of the repository, by name."""
    return sorted(file.parent for file in results.glob(f"{REFERENCE}/*/experiment.json"))


def began_s(folder: Path) -> float:
    """When a run began, in seconds since the epoch: as it says, else as its folder is named, else by its file's time.

    The names' time zone is not known: before they were in UTC they were in local time.
    """
    file = folder / "experiment.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return float(orjson.loads(file.read_bytes())["started_s"])
    with contextlib.suppress(ValueError):
        return float(calendar.timegm(time.strptime(folder.name[:15], "%Y%m%d-%H%M%S")))
    with contextlib.suppress(OSError):
        return file.stat().st_mtime
    return 0.0


def find_run(results: Path, name: str) -> Path:
    """A run's folder by what a person types: its path, `EXPERIMENT` (the newest run), `EXPERIMENT/RUN` or `latest`.

    Raises `RecordError` if there is none.
    """
    found: list[Path] = []
    with contextlib.suppress(OSError):  # a name that is too long to be one
        for path in (Path(name), results / name):
            if (path / "experiment.json").is_file():
                return path
        if name == "latest":
            found = all_runs(results)
        elif name.strip("/. ") and not Path(name).is_absolute():
            found = all_runs(results, name)
    if found:
        return found[-1]
    if name == "latest":
        raise RecordError(f"latest: no such run, {results} holds none yet; make one with: lenet-bench run FILE")
    raise RecordError(f"{name}: no such run, neither as a folder nor under {results}; `lenet-bench runs` lists them")


def list_runs(results: Path) -> list[str]:
    """One line a run, newest last, after those of the repository: folder, trials by status."""
    lines = []
    for path in [*reference_runs(results), *all_runs(results)]:
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
