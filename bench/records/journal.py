"""How anything reaches the disk: lines that are appended and synced, and files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from bench.errors import RecordError

BUFFER_BYTES = 1 << 20  # lines are longer than Python's own buffer, through which reading takes five times as long
LINKS = 40  # that lead from one to the next; Linux follows no more
DESCRIPTOR = re.compile(r"(/dev/fd|/proc/(?P<process>\d+)(/task/\d+)?/fd)/(?P<number>\d+)")
KEY = re.compile(rb'\{"key":"([\w.-]+)"')


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
        with contextlib.suppress(FileNotFoundError), self.path.open("rb", buffering=BUFFER_BYTES) as file:
            for number, _, line in self._whole_lines(file):
                yield self._parse(number, line)

    def newest(self, order: Mapping[str, int]) -> Iterator[dict[str, Any]]:
        """The last line of each `key`, by the keys' places in `order`, those without one at the end.

        The file is looked through once and only then read, one line at a time: its content may be larger than memory.
        Raises `RecordError` as `read` does.
        """
        with contextlib.suppress(FileNotFoundError), self.path.open("rb", buffering=BUFFER_BYTES) as file:
            places: dict[str, tuple[int, int, int]] = {}
            for number, start, line in self._whole_lines(file):
                # The key is the first thing of a line as `encode` writes it.
                known = KEY.match(line)
                key = known[1].decode() if known else str(self._parse(number, line)["key"])
                places[key] = number, start, len(line)
            for _, (number, start, length) in sorted(places.items(), key=lambda item: order.get(item[0], len(order))):
                yield self._parse(number, os.pread(file.fileno(), length, start))

    def state(self) -> tuple[int, int]:
        """Size and time of the last change: equal states hold equal lines. Zeros for a missing file."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_size, found.st_mtime_ns

    @staticmethod
    def _whole_lines(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
        """Number (from 1), offset and bytes of each whole line."""
        start = 0
        for number, line in enumerate(file, start=1):
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
