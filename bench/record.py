"""What is known of a trial after it ended, and the folder that holds it.

Records go in, one fsynced line each; the same records come out, also after a crash in the middle of a line. Nothing
derived is stored: medians, intervals and rankings are made anew from the raw samples by `bench.table`.

A run's folder holds `experiment.json` (what was asked), `machine.json` (where), `records.jsonl` (one line a trial that
ended: the truth) and `parts.jsonl` (one line a seed trained or a round timed: what an interrupted run need not do
again).
"""

from __future__ import annotations

import calendar
import contextlib
import dataclasses
import errno
import glob
import json
import math
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from bench.errors import RecordError as RecordError

SCHEMA = 1
STATUSES = ("ok", "failed", "skipped")
BUFFER_BYTES = 1 << 20  # lines are longer than Python's own buffer, through which reading takes five times as long
LINKS = 40  # that lead from one to the next; Linux follows no more
DESCRIPTOR = re.compile(r"(/dev/fd|/proc/(?P<process>\d+)(/task/\d+)?/fd)/(?P<number>\d+)")
KEY = re.compile(rb'\{"key":"([\w.-]+)"')


@dataclass(frozen=True)
class SeedResult:
    """One repeat of a trial's training.

    **Arguments:**

    - `seed`: what the weights and the order of the images were drawn from.
    - `status`, `cause`, `reason`: as in `Record`.
    - `history`: a mapping an epoch: `epoch` (from 1), `updates`, `learning_rate`, `train_loss`, `validation_loss`,
      `validation_accuracy`. Accuracies are shares in [0, 1]. Non-finite numbers are stored as None.
    - `best_epoch`: the epoch of the highest validation accuracy, the later of two equals; 0 if none was finished.
    - `test_accuracy`, `test_loss`: with the weights of that epoch.
    - `train_accuracy`: on the images learned from; only where none were held back.
    - `rejection`: for each measure of sureness (`margin`, `confidence`) the places, least sure first, of the wrongly
      answered among the test images: the whole curve of error against rejected share.
    - `train_s`, `evaluate_s`: seconds in optimiser steps and in evaluation, kept apart.
    - `wall_s`: seconds of the whole task, process start included; the rest is overhead.
    - `peak_memory_bytes`: the largest resident set of the training process.
    - `data_digest`: of the images and labels that it learned from, as `lenet.files.digest` gives it; "" if unknown.
    """

    seed: int
    status: str = "ok"
    cause: str = ""
    reason: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    test_accuracy: float | None = None
    test_loss: float | None = None
    train_s: float = 0.0
    evaluate_s: float = 0.0
    wall_s: float = 0.0
    peak_memory_bytes: int = 0
    train_accuracy: float | None = None
    rejection: dict[str, list[int]] = field(default_factory=dict)
    data_digest: str = ""


@dataclass(frozen=True)
class Timing:
    """The raw samples of one trial's timing stage.

    **Arguments:**

    - `samples`: for each phase a list of blocks `[process, round, iterations, seconds, cpu_seconds]`; `seconds` is of
      the whole block, `process` and `round` count from 0 within the run.
    - `prepare_s`: seconds of compiling or capturing, one a process; never part of a phase. Empty for eager.
    - `warmup_s`: seconds of warming up, one a process.
    - `peak_memory_bytes`: the trial's own peak: allocated on the device for CUDA; on the CPU the growth of the
      process's resident set from before the trial was built until its warm-up ended. The largest of the processes.
    - `stopped`: `narrow` (every interval reached the target), `budget` (time was up) or `rounds` (as many as were
      asked).
    """

    samples: dict[str, list[list[float]]] = field(default_factory=dict)
    prepare_s: list[float] = field(default_factory=list)
    warmup_s: list[float] = field(default_factory=list)
    peak_memory_bytes: int = 0
    stopped: str = ""


@dataclass(frozen=True)
class Record:
    """One trial after it ended.

    **Arguments:**

    - `key`, `name`, `trial`: which; `trial` is `Trial.to_dict()`, `name` is short and unique within the run.
    - `status`: `ok`, `failed` or `skipped`.
    - `cause`: why not ok, one word: `diverged`, `crashed`, `killed`, `out_of_memory`, `timeout`, `error`, `no_device`;
      or "".
    - `reason`: the same in one line for people.
    - `seeds`: one result a seed. Empty for synthetic data.
    - `timing`: None if the trial was not timed.
    - `network`: `parameters`, `macs` (multiply-accumulates an image, forward) and `layers` (a mapping a layer: `name`,
      `parameters`, `macs`). Empty if the network was never built.
    - `attempt`: 1, and one more each time a resumed run tried it again.
    - `started_s`, `ended_s`: seconds since the epoch.
    """

    key: str
    name: str
    trial: dict[str, dict[str, Any]]
    status: str
    cause: str = ""
    reason: str = ""
    seeds: list[SeedResult] = field(default_factory=list)
    timing: Timing | None = None
    network: dict[str, Any] = field(default_factory=dict)
    attempt: int = 1
    started_s: float = 0.0
    ended_s: float = 0.0
    schema: int = SCHEMA

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for one line of JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Record:
        """The inverse of `to_dict`. Raises `RecordError` for a schema that this version does not know."""
        if values.get("schema") != SCHEMA:
            raise RecordError(f"record of schema {values.get('schema')!r}; this version reads schema {SCHEMA}")
        timing = values.get("timing")
        return cls(
            **{
                **values,
                "seeds": [SeedResult(**seed) for seed in values["seeds"]],
                "timing": Timing(**timing) if timing is not None else None,
            }
        )


def finite(value: float) -> float | None:
    """The number, or None where JSON has no word for it (NaN, infinities)."""
    return value if math.isfinite(value) else None


def encode(values: dict[str, Any]) -> str:
    """One line of strict JSON (no NaN), without the newline."""
    return json.dumps(values, separators=(",", ":"), allow_nan=False)


class Journal:
    """An append-only file of JSON lines with one writer. A line is on the disk when `append` returns.

    A torn last line, left by a crash, is cut off when the file is next opened for writing and ignored by readers; a
    torn line anywhere else is damage, and refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, values: dict[str, Any]) -> None:
        """Writes one line and waits for the disk. Raises `RecordError` when it is full or not writable.

        A line of which only a part could be written is taken back, so that the file stays whole.
        """
        line = (encode(values) + "\n").encode()
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise RecordError(f"{self.path}: cannot be written ({error.strerror})") from error
        try:
            end = self._cut_torn_line(descriptor)
            try:
                if os.write(descriptor, line) != len(line):
                    raise OSError(28, "No space left on device")
                os.fsync(descriptor)
                if end == 0:
                    sync_folder(self.path.parent)
            except OSError as error:
                os.ftruncate(descriptor, end)
                raise RecordError(
                    f"{self.path}: cannot record ({error.strerror}); what was recorded before is kept"
                ) from error
        finally:
            os.close(descriptor)

    @staticmethod
    def _cut_torn_line(descriptor: int) -> int:
        """Truncates the file after its last newline; returns its length."""
        end = os.fstat(descriptor).st_size
        position, tail = end, b""
        while position > 0 and b"\n" not in tail:
            step = min(65_536, position)
            position -= step
            tail = os.pread(descriptor, step, position)
        whole = position + tail.rfind(b"\n") + 1 if b"\n" in tail else 0
        if whole != end:
            os.ftruncate(descriptor, whole)
        return whole

    def read(self) -> Iterator[dict[str, Any]]:
        """Every whole line. A missing file is empty. Raises `RecordError` for a damaged line that is not the last."""
        for number, _, line in self._lines():
            yield self._parse(number, line)

    def newest(self, order: Mapping[str, int]) -> Iterator[dict[str, Any]]:
        """The last line of each `key`, by the keys' places in `order`, those without one at the end.

        The file is looked through once and only then read, one line at a time: its content may be larger than memory.
        Raises `RecordError` as `read` does.
        """
        places: dict[str, tuple[int, int, int]] = {}
        for number, start, line in self._lines():
            # The key is the first thing of a line as `encode` writes it.
            known = KEY.match(line)
            key = known[1].decode() if known else str(self._parse(number, line)["key"])
            places[key] = number, start, len(line)
        if not places:
            return
        with self.path.open("rb") as file:
            for _, (number, start, length) in sorted(places.items(), key=lambda item: order.get(item[0], len(order))):
                yield self._parse(number, os.pread(file.fileno(), length, start))

    def state(self) -> tuple[int, int]:
        """Size and time of the last change: equal states hold equal lines. Zeros for a missing file."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_size, found.st_mtime_ns

    def _lines(self) -> Iterator[tuple[int, int, bytes]]:
        """Number (from 1), offset and bytes of each whole line."""
        start = 0
        with contextlib.suppress(FileNotFoundError), self.path.open("rb", buffering=BUFFER_BYTES) as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    return
                yield number, start, line
                start += len(line)

    def _parse(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            values: dict[str, Any] = orjson.loads(line)  # four times as fast as json
        except ValueError as error:
            raise RecordError(f"{self.path}:{number}: not a line of JSON ({error})") from error
        return values


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Writes a whole JSON file or none, as `whole_file` does. Raises `RecordError`."""
    write_whole(path, json.dumps(values, indent=1, allow_nan=False) + "\n")


def write_whole(path: Path, data: bytes | str) -> None:
    """Writes a whole file or none, a text as UTF-8; as `whole_file` does. Raises `RecordError`."""
    with whole_file(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file that appears, whole and on the disk, when the context ends; if it ends by an exception, the file is
    what it was before, and nothing else is left.

    The content goes to a temporary sibling, which is fsynced and renamed. A symbolic link stays, and its target is
    replaced. A device, a pipe and `/dev/fd/N` are written in place. The mode is that of the file which is replaced, or
    what the umask leaves. Raises `RecordError` where the path cannot be written, also from within the context.
    """
    try:
        target = replaced_file(path)
        with _written_in_place(path) if target is None else _renamed_to(target) as file:
            yield file
    except OSError as error:
        raise RecordError(f"{path}: cannot be written ({error.strerror or error})") from error


def replaced_file(path: Path) -> Path | None:
    """The file, there or to be, that writing to a path replaces; None for what is written in place. Raises
    `RecordError` for a folder.
    """
    try:
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            mode = stat.S_IFREG
        if stat.S_ISDIR(mode) or stat.S_ISBLK(mode):
            raise RecordError(f"{path}: is a {'folder' if stat.S_ISDIR(mode) else 'disk'}; name a file")
        if not stat.S_ISREG(mode) or _descriptor_path(path):
            return None
        return Path(os.path.realpath(path))
    except OSError as error:
        raise RecordError(f"{path}: cannot be written ({error.strerror or error})") from error


def _descriptor_path(path: Path) -> str | None:
    """The entry of a process's open files that a path is or links to, as `/proc/17/fd/1` for `/dev/stdout`."""
    for _ in range(LINKS):
        entry = f"{os.path.realpath(path.parent)}/{path.name}"
        if DESCRIPTOR.fullmatch(entry):
            return entry
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    return None


@contextlib.contextmanager
def _written_in_place(path: Path) -> Iterator[BinaryIO]:
    entry = DESCRIPTOR.fullmatch(_descriptor_path(path) or "")
    if entry and entry["process"] in (None, str(os.getpid())):
        if sys.stdout is not None:
            sys.stdout.flush()  # what was printed before stays before
        # The file as it is open already: opened anew, it would be written from its beginning.
        descriptor = os.dup(int(entry["number"]))
    else:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOCTTY)
    with open(descriptor, "wb") as file:  # noqa: PTH123  # a descriptor, not a path
        yield file


@contextlib.contextmanager
def _renamed_to(target: Path) -> Iterator[BinaryIO]:
    # A name of its own, so that two writers of one file do not meet; short, since the target's may be the longest there
    # can be.
    temporary = target.with_name(f"{target.name[:40]}.{os.getpid()}.{secrets.token_hex(4)}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123  # a descriptor, not a path
            if target.exists():
                os.fchmod(descriptor, stat.S_IMODE(target.stat().st_mode))
            yield file
            file.flush()
            os.fsync(descriptor)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk: a file's own fsync does not bring its name there."""
    with contextlib.suppress(PermissionError):  # a folder may be writable and not readable
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # some file systems do not do it for folders
                raise
        finally:
            os.close(descriptor)


@dataclass(frozen=True)
class Run:
    """One execution of an experiment: a folder under results/.

    `experiment` is the content of `experiment.json`: `name`, `uid` (unique), `question`, `axes` (each knob that varies
    and its values, in the file's order), `seeds` (a list), `timing` (the settings), `trials` (a list of `key`, `name`,
    `trial`), `baseline` (the key that others are compared with), `git` (`commit`, `branch`, `dirty`), `started_s`,
    `command`. `machine` is the content of `machine.json` (`bench.machine.fingerprint`).
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


def all_runs(results: Path, experiment: str = "*") -> list[Path]:
    """The folders of all runs, or of one experiment's, oldest first; those of the repository are not among them.

    **Arguments:**

    - `results`: the folder under which runs are kept.
    - `experiment`: the name of one; "*" for all.
    """
    pattern = "*" if experiment == "*" else glob.escape(experiment)
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
