"""File locks between real processes: refused, waited for, released by a death, and impossible."""

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from bench.errors import BadInputError, BusyError
from bench.machine.locks import check_machine_lock, lock, lock_if_writable, machine_lock

HOLDER = """
import sys
from pathlib import Path
from bench.machine.locks import lock

with lock(Path(sys.argv[1]), "busy"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold():
    """Starts a process that holds a file's lock until it is killed."""
    started = []

    def start(path):
        command = [sys.executable, "-c", HOLDER, str(path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LENET_BENCH_LOCKS", str(tmp_path))
    return tmp_path


def machine_file(folder):
    return folder / f"lenet-bench-timing-{os.getuid()}.lock"


def test_a_lock_that_another_process_has_is_refused_until_it_dies(tmp_path, hold):
    path = tmp_path / "lock"
    holder = hold(path)
    with pytest.raises(BusyError, match="someone is here"), lock(path, "someone is here"):
        raise AssertionError("two hold it")
    holder.kill()
    holder.wait()
    for _ in range(2):
        with lock(path, "someone is here"):
            assert path.exists()


def test_whoever_waits_is_told_first_and_has_its_turn(tmp_path, hold):
    path, told = tmp_path / "lock", []
    holder = hold(path)

    def end_the_other(line):
        told.append(line)
        holder.kill()

    with lock(path, "someone is here", wait=end_the_other):
        assert told == ["someone is here"]


def test_a_failure_within_releases_the_lock(tmp_path):
    with pytest.raises(ZeroDivisionError), lock(tmp_path / "lock", "busy"):
        raise ZeroDivisionError
    with lock(tmp_path / "lock", "busy"):
        pass


def test_a_file_that_cannot_be_opened_is_one_line(tmp_path):
    for path in (tmp_path / "absent" / "lock", tmp_path):
        with pytest.raises(BadInputError, match=rf"^{path}: cannot be locked \(\w+.*\)$"), lock(path, "busy"):
            raise AssertionError("held without a file")


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInputError, match="cannot be locked"), lock(tmp_path / "lock", "busy"):
        raise AssertionError("held through a link")
    assert not (tmp_path / "elsewhere").exists()


def test_where_the_folder_cannot_be_written_there_may_be_no_lock(tmp_path):
    entered = False
    with lock_if_writable(tmp_path / "absent" / "lock"):
        entered = True
    assert entered


def test_a_lock_that_may_be_missing_is_waited_for(tmp_path, hold):
    holder = hold(tmp_path / "lock")
    entered = threading.Event()

    def enter():
        with lock_if_writable(tmp_path / "lock"):
            entered.set()

    waiter = threading.Thread(target=enter)
    waiter.start()
    assert not entered.wait(0.2)
    holder.kill()
    assert entered.wait(60)
    waiter.join()


def test_one_timing_at_a_time_on_a_machine(folder, hold):
    told = []
    holder = hold(machine_file(folder))
    with pytest.raises(BusyError, match="another sweep is timing"), machine_lock(told.append, wait=False):
        raise AssertionError("two are timing")
    assert told == []

    def end_the_other(line):
        told.append(line)
        holder.kill()

    with machine_lock(end_the_other):
        assert told == ["another sweep is timing on this machine; waiting for it to finish"]


def test_the_machines_lock_is_the_users_own(folder):
    with machine_lock(print):
        assert machine_file(folder).stat().st_mode & 0o777 == 0o600


def test_without_a_folder_of_its_own_the_lock_is_among_the_temporary_files(tmp_path, monkeypatch):
    monkeypatch.delenv("LENET_BENCH_LOCKS")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with machine_lock(print):
        assert machine_file(tmp_path).exists()


def test_a_machine_lock_that_cannot_be_had_is_known_before_anything_is_trained(folder):
    check_machine_lock()
    machine_file(folder).unlink()
    machine_file(folder).symlink_to(folder / "elsewhere")
    with pytest.raises(BadInputError, match=rf"^{machine_file(folder)}: cannot be locked \(.*\)$"):
        check_machine_lock()


def test_a_sweep_whose_timing_could_not_be_locked_ends_before_it_trains(folder):
    machine_file(folder).symlink_to(folder / "elsewhere")
    (folder / "small.toml").write_text('seeds = 1\n[base]\ndata = "synthetic"\nchannels = 1\n')
    command = [sys.executable, "-m", "bench", "run", "small.toml", "--no-track"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "cannot be locked" in done.stderr
    assert not list(Path(folder).glob("results/small/*"))


def test_the_tests_wait_for_no_other_sweep(tmp_path_factory):
    assert Path(os.environ["LENET_BENCH_LOCKS"]).parent == tmp_path_factory.getbasetemp()
