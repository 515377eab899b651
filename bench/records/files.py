"""Files that are written whole or not at all, and are on the disk when the writer is told so."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from bench.errors import RecordError

LINKS = 40  # that lead from one to the next; Linux follows no more
DESCRIPTOR = re.compile(r"(/dev/fd|/proc/(?P<process>\d+)(/task/\d+)?/fd)/(?P<number>\d+)")


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
