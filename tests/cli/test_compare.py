"""`lenet-bench compare` and `baseline`: exit codes, what is printed, and the files that are written."""

import functools
import json
import os
import stat

import pytest
from fakes import timed_runs
from fakes.timed_runs import SECONDS, SLOWER, run_command

from bench.compare.baseline import list_baselines


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def make(results):
    """Makes a run of SECONDS, another seed each time."""
    return functools.partial(timed_runs.make_next_run, results)


def test_exit_codes_and_printing(make, results, tmp_path):
    make("a"), make("b"), make("c", SLOWER), make("d", machine={"id": "m2"})
    same = run_command("compare", "gate/a", "gate/b", "--results", results, cwd=tmp_path)
    assert same.returncode == 0, same.stderr
    assert same.stdout.splitlines()[-1] == "pass: 9 same"
    slower = run_command("compare", "gate/a", "gate/c", "--results", results, "--md", cwd=tmp_path)
    assert slower.returncode == 1
    assert "| gelu/step | 2" in slower.stdout
    other = run_command("compare", "gate/a", "gate/d", "--results", results, "--json", "-", cwd=tmp_path)
    assert other.returncode == 3
    content = json.loads(other.stdout)
    assert (content["schema"], content["outcome"], len(content["verdicts"])) == (1, "no verdict", 9)
    assert content["verdicts"][0]["p"] is None


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("nothing.csv", None, "no such file"),
        ("nothing", None, "no such run"),
        ("x.csv", "a,b\n1,2\n", "not a table that lenet-bench wrote"),
        ("x.csv", "", "cannot be read as csv"),
        ("x.parquet", "PAR1", "cannot be read as parquet"),
        ("x.json", "{", "not JSON"),
        ("x.json", "[]", "not a file of pytest-benchmark"),
        ("x.json", '{"benchmarks": [{"name": "a", "stats": {}}]}', "not a file of pytest-benchmark"),
        ("x.json", '{"benchmarks": [{"name": "a", "stats": {"median": 0}}]}', "median above 0"),
        ("x.json", '{"benchmarks": [7]}', "not a file of pytest-benchmark"),
        ("x.txt", "hello\n", "not a baseline"),
        ("x.md", "hello\n", "compares runs, tables"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(make, results, tmp_path, name, content, told):
    make("a")
    if content is not None:
        (tmp_path / name).write_text(content)
    done = run_command("compare", "gate/a", name, "--results", results, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_said(make, results, tmp_path):
    make("a")
    done = run_command("compare", "gate", "gate", "--results", results, "--junit", "no/such/x.xml", cwd=tmp_path)
    assert done.returncode == 2
    assert "no/such/x.xml: cannot be written" in done.stderr


def compare_into(results, tmp_path, *options):
    return run_command("compare", "gate", "gate", "--results", results, *options, cwd=tmp_path)


def test_a_folder_as_a_file_is_refused_and_nothing_is_left(make, results, tmp_path):
    make("a")
    (tmp_path / "folder").mkdir()
    done = compare_into(results, tmp_path, "--json", "out.json", "--junit", "folder")
    assert (done.returncode, done.stderr) == (2, "lenet-bench: folder: is a folder; name a file\n")
    assert sorted(path.name for path in tmp_path.iterdir() if path != results) == ["folder"]


@pytest.mark.parametrize(
    ("options", "both"),
    [
        (["--json", "out", "--junit", "out"], "--json and --junit both"),
        (["--json", "out", "--junit", "link"], "--json and --junit both"),
        (["--pytest-benchmark", "x.json", "--bencher", "./x-base.json"], "--bencher and --pytest-benchmark both"),
    ],
)
def test_two_options_with_one_file_are_refused(make, results, tmp_path, options, both):
    make("a")
    (tmp_path / "link").symlink_to("out")
    done = compare_into(results, tmp_path, *options)
    assert done.returncode == 2
    assert both in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir() if path != results) == ["link"]


def test_two_options_may_share_what_is_not_replaced(make, results, tmp_path):
    make("a")
    done = compare_into(results, tmp_path, "--markdown", "-", "--junit", "-")
    assert done.returncode == 0
    assert "<testsuite" in done.stdout.partition("| ")[2]


def test_a_device_stays_a_device(make, results, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root may make a device")
    make("a")
    device = tmp_path / "device"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # as /dev/null is one
        device.write_text("")
    except PermissionError as error:
        pytest.skip(f"no devices in here ({error.strerror})")
    done = compare_into(results, tmp_path, "--json", device, "--junit", device, "--pytest-benchmark", device)
    assert done.returncode == 0
    assert device.is_char_device()
    assert [path for path in tmp_path.iterdir() if path != results] == [device]


def test_the_commands_of_a_baseline(results, tmp_path):
    timed_runs.make_run(results / "gate" / "a", SECONDS, seed=1)
    early = run_command("baseline", "check", "gate", "--results", results, cwd=tmp_path)
    assert early.returncode == 3
    assert "lenet-bench baseline save" in early.stderr
    saved = run_command("baseline", "save", "gate", "--results", results, cwd=tmp_path)
    assert saved.returncode == 0, saved.stderr
    assert "9 new" in saved.stdout
    timed_runs.make_run(results / "gate" / "b", SECONDS, seed=2)
    assert run_command("baseline", "check", "gate", "--results", results, cwd=tmp_path).returncode == 0
    timed_runs.make_run(results / "gate" / "c", SLOWER, seed=3)
    slower = run_command("baseline", "check", "gate", "--results", results, "--junit", "x.xml", cwd=tmp_path)
    assert slower.returncode == 1
    assert "gelu/step" in (tmp_path / "x.xml").read_text()
    listed = run_command("baseline", "show", "--results", results, cwd=tmp_path)
    assert listed.stdout.split() == [str(path) for path in list_baselines(results)]
    shown = run_command("baseline", "show", "gate", "--results", results, cwd=tmp_path)
    assert shown.stdout == list_baselines(results)[0].read_text()
    assert run_command("baseline", "show", "other", "--results", results, cwd=tmp_path).returncode == 2
