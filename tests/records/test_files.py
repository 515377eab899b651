"""Whole files: they appear at once or not at all, and what is no regular file is written to and never replaced."""

import errno
import io
import os
import resource
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pandas as pd
import pytest

from bench.errors import RecordError
from bench.records.files import whole_file, write_whole
from bench.records.journal import Journal
from bench.records.run import Run

NOBODY = 65_534


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_whole_and_alone(tmp_path):
    path = tmp_path / "ä.txt"
    write_whole(path, "zoë\n")
    assert path.read_bytes() == "zoë\n".encode()
    write_whole(path, b"\xff")
    assert path.read_bytes() == b"\xff"
    assert names(tmp_path) == ["ä.txt"]


def test_a_writer_that_fails_leaves_what_was(tmp_path):
    path = tmp_path / "out"
    write_whole(path, "before")

    def fail_half_way():
        with whole_file(path) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert path.read_text() == "before"
    assert names(tmp_path) == ["out"]


def test_a_disk_that_fills_leaves_what_was(tmp_path):
    path = tmp_path / "out"
    write_whole(path, "before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(RecordError, match=rf"^{path}: cannot be written \(File too large\)$"):
            write_whole(path, "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "before"
    assert names(tmp_path) == ["out"]


def test_a_folder_is_refused_and_nothing_is_left(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(RecordError, match=r"folder: is a folder; name a file$"):
        write_whole(tmp_path / "folder", "x")
    assert names(tmp_path) == ["folder"]


def test_a_folder_that_is_missing_or_read_only_is_one_line(tmp_path):
    with pytest.raises(RecordError, match=r"cannot be written \(No such file or directory\)$"):
        write_whole(tmp_path / "no" / "out", "x")
    with tempfile.TemporaryDirectory() as name:  # where anyone may go, as not in pytest's folders
        folder = Path(name)
        folder.chmod(0o555)
        root = os.geteuid() == 0
        if root:  # for whom nothing is read-only
            os.seteuid(NOBODY)
        try:
            with pytest.raises(RecordError, match=r"cannot be written \(Permission denied\)$"):
                write_whole(folder / "out", "x")
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o755)
        assert names(folder) == []


def test_the_mode_is_kept_or_what_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "new", "x")
        (tmp_path / "old").touch()
        (tmp_path / "old").chmod(0o604)
        write_whole(tmp_path / "old", "x")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new", "old")]
    assert modes == [0o640, 0o604]


def test_a_name_may_be_as_long_as_the_disk_allows(tmp_path):
    write_whole(tmp_path / ("x" * 255), "y")
    assert (tmp_path / ("x" * 255)).read_text() == "y"


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_target_is_written(tmp_path, there):
    (tmp_path / "links").mkdir()
    (tmp_path / "targets").mkdir()
    target, link = tmp_path / "targets" / "out", tmp_path / "links" / "link"
    if there:
        target.write_text("before")
    link.symlink_to(Path("..") / "targets" / "out")
    write_whole(link, "after")
    assert link.is_symlink()
    assert target.read_text() == "after"
    assert names(tmp_path / "links") + names(tmp_path / "targets") == ["link", "out"]


def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(RecordError, match=r"loop: cannot be written \(Too many levels of symbolic links\)"):
        write_whole(tmp_path / "loop", "x")
    assert (tmp_path / "loop").is_symlink()


def test_a_pipe_is_written_to(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write_whole(pipe, "through")
    reader.join(60)
    assert read == ["through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == ["pipe"]


def make_device(path, minor):
    """A character device as /dev/null (1, 3) or /dev/full (1, 7) is one, in a folder of ours."""
    if os.geteuid() != 0:
        pytest.skip("only root may make a device")
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
        path.write_text("") if minor == 3 else path.open("wb").close()
    except PermissionError as error:
        pytest.skip(f"no devices in here ({error.strerror})")


def test_a_device_is_written_to_and_stays(tmp_path):
    make_device(tmp_path / "device", 3)
    (tmp_path / "link").symlink_to("device")
    for name in ("device", "link"):
        write_whole(tmp_path / name, "x")
    assert stat.S_ISCHR((tmp_path / "device").stat().st_mode)
    assert names(tmp_path) == ["device", "link"]


def test_a_full_device_is_one_line(tmp_path):
    make_device(tmp_path / "full", 7)
    with pytest.raises(RecordError, match=r"full: cannot be written \(No space left on device\)$"):
        write_whole(tmp_path / "full", "x")
    assert stat.S_ISCHR((tmp_path / "full").stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "LINK"])
def test_standard_output_is_written_where_it_stands(tmp_path, name):
    (tmp_path / "out").write_text("earlier\n")
    (tmp_path / "link").symlink_to("/dev/stdout")
    script = """
import sys
from pathlib import Path
from bench.records.files import write_whole
print("before")
write_whole(Path(sys.argv[1]), "written\\n")
print("after")
"""
    path = name.replace("LINK", str(tmp_path / "link"))
    with (tmp_path / "out").open("a") as out:
        subprocess.run([sys.executable, "-c", script, path], stdout=out, check=True, timeout=120)
    assert (tmp_path / "out").read_text() == "earlier\nbefore\nwritten\nafter\n"
    assert names(tmp_path) == ["link", "out"]
    piped = subprocess.run([sys.executable, "-c", script, path], capture_output=True, check=True, timeout=120)
    assert piped.stdout == b"before\nwritten\nafter\n"


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    """Each holds its file open until both do: with one temporary name for both, the second would find its own gone."""
    script = """
import sys
from pathlib import Path
from bench.records.files import whole_file
with whole_file(Path(sys.argv[1])) as file:
    file.write(sys.argv[2].encode() * 1000)
    print("open", flush=True)
    sys.stdin.readline()
"""
    command = [sys.executable, "-c", script, str(tmp_path / "out")]
    writers = [
        subprocess.Popen([*command, letter], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for letter in "ab"
    ]
    for writer in writers:
        assert writer.stdout.readline() == "open\n"
    assert len(names(tmp_path)) == 2
    assert all(name.endswith(".part") for name in names(tmp_path)), "git ignores only these"
    for writer, letter in zip(writers, "ab", strict=True):
        writer.communicate("\n", timeout=60)
        assert writer.returncode == 0
        assert (tmp_path / "out").read_text() == letter * 1000
    assert names(tmp_path) == ["out"]


@pytest.fixture
def synced(monkeypatch):
    """The paths that were fsynced, in order: a loss of power cannot be had in a test."""
    paths, fsync = [], os.fsync

    def note(descriptor):
        paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return paths


def test_the_file_and_then_its_name_are_brought_to_the_disk(tmp_path, synced):
    write_whole(tmp_path / "out", "x")
    assert [path.suffix for path in synced] == [".part", ""]
    assert synced[1] == tmp_path


def test_a_journal_and_a_run_are_there_after_a_loss_of_power(tmp_path, synced):
    run = Run.create(tmp_path / "name" / "run", {"trials": []}, {})
    assert {tmp_path, tmp_path / "name", run.path} <= set(synced)
    synced.clear()
    journal = Journal(run.path / "records.jsonl")
    journal.append({})
    assert synced == [journal.path, run.path]
    synced.clear()
    journal.append({})
    assert synced == [journal.path]


def test_a_file_system_without_fsync_for_folders_will_do(tmp_path, monkeypatch):
    def refuse_folders(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse_folders)
    write_whole(tmp_path / "out", "x")
    assert (tmp_path / "out").read_text() == "x"


def test_pandas_writes_through_it_also_in_a_folder_whose_name_is_no_text(tmp_path):
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "é"]})
    with whole_file(folder / "t.parquet") as file:
        frame.to_parquet(file, index=False)
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO((folder / "t.parquet").read_bytes())), frame)
    with whole_file(folder / "t.csv") as file:
        frame.to_csv(file, index=False)
    assert (folder / "t.csv").read_bytes() == frame.to_csv(index=False).encode()
