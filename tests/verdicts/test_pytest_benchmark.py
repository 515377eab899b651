"""pytest-benchmark's JSON, read back by the plug-in's own commands where they are at hand."""

import subprocess
import sys
from pathlib import Path

import pytest
from fakes.verdict_list import HEAD, HEADER, VERDICT_LIST

from bench.compare.side import from_pytest_files
from bench.errors import FormatError
from bench.tracking.pytest_import import file_entries
from bench.verdicts.files import write_files
from bench.verdicts.pytest_benchmark import describe, read_pytest_benchmark, write_pytest_benchmark


def test_the_plug_in_s_own_commands_read_the_file(tmp_path):
    write_files(HEADER, VERDICT_LIST, {"pytest_benchmark": tmp_path / "out.json"})
    both = [str(tmp_path / "out-base.json"), str(tmp_path / "out.json")]
    commands = [
        [str(Path(sys.executable).with_name(name)), "compare", *both, *extra]
        for name in ("pytest-benchmark", "py.test-benchmark")
        for extra in ([], ["--group-by", "name"], ["--between", "median,min"], ["--csv", str(tmp_path / "out.csv")])
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Failed to load" not in done.stderr + done.stdout
        assert "relu/step" in done.stdout
        assert "known/step" in done.stdout
    assert "relu/step" in (tmp_path / "out.csv").read_text()


def test_our_statistics_are_the_plug_in_s():
    from pytest_benchmark.stats import Stats

    for data in ([1.0, 2.0, 3.0, 4.0, 100.0], [5.0, 1.0], [2.0], [1.0, 1.0, 1.0, 9.0, 1.0, 1.2, 0.2]):
        theirs = Stats()
        for value in data:
            theirs.update(value)
        ours = describe(data)
        expected = {**theirs.as_dict(), "data": data, "iterations": 1}
        assert set(ours) == set(expected)
        for name in ("min", "max", "mean", "stddev", "rounds", "median", "ops", "total"):
            assert ours[name] == pytest.approx(expected[name])


def test_what_we_write_we_read(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(write_pytest_benchmark(HEADER, VERDICT_LIST))
    read = read_pytest_benchmark(path)
    assert read.machine_info["lenet_bench"] == {"id": "m1", "torch": "2.13.0"}
    assert read.commit_info["id"] == "4567def"
    relu = next(one for one in read.benchmarks if one.name == "relu/step")
    assert relu.seconds == HEAD
    assert relu.extra_info["verdict"] == "slower"
    assert relu.stats["median"] == 1.1e-3
    assert len(read.benchmarks) == sum(bool(one.head_s) for one in VERDICT_LIST)


def test_what_the_plug_in_writes_we_read(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('n', [10, 100])\n"
        "def test_sum(benchmark, n):\n"
        "    benchmark.group, benchmark.extra_info['images'] = 'sums', n\n"
        "    benchmark(sum, range(n))\n"
    )
    for data in ([], ["--benchmark-save-data"]):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--benchmark-json=out.json", "--benchmark-autosave", *data,
             "--benchmark-max-time=0.05", "-p", "no:cacheprovider", "test_it.py"],
            capture_output=True, text=True, cwd=tmp_path, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
    for path in (tmp_path / "out.json", *sorted((tmp_path / ".benchmarks").glob("*/*.json"))):
        read = read_pytest_benchmark(path)
        assert [one.fullname for one in read.benchmarks] == ["test_it.py::test_sum[10]", "test_it.py::test_sum[100]"]
        assert read.benchmarks[1].params == {"n": 100}
        assert read.benchmarks[1].extra_info == {"images": 100}
        assert read.benchmarks[1].group == "sums"
        assert 0 < read.benchmarks[0].stats["median"] < 1e-3
    assert len(read.benchmarks[0].seconds) == read.benchmarks[0].stats["rounds"]


def plug_in_file(path, median="0.001", machine="{}"):
    stats = f'{{"median": {median}, "mean": 0.001, "rounds": 5}}'
    path.write_text(f'{{"machine_info": {machine}, "benchmarks": [{{"name": "test_x", "stats": {stats}}}]}}')
    return path


@pytest.mark.parametrize("cpu", ['"bench-runner-3"', "[1, 2]", "null", "3"])
def test_a_processor_that_is_no_mapping_is_not_known(tmp_path, cpu):
    file = read_pytest_benchmark(plug_in_file(tmp_path / "x.json", machine=f'{{"cpu": {cpu}, "node": "here"}}'))
    sweep, entries = file_entries(file)
    assert (len(entries), sweep.tags["bench.host"]) == (1, "here")
    assert from_pytest_files([file], "x").place["cpu"] == ""


@pytest.mark.parametrize("content", ["1" * 400, "[" * 100_000, '0.001, "stddev": ' + "1" * 400])
def test_a_number_or_a_depth_beyond_measure_is_one_line(tmp_path, content):
    with pytest.raises(FormatError) as caught:
        read_pytest_benchmark(plug_in_file(tmp_path / "x.json", median=content))
    assert "x.json: not a file of pytest-benchmark" in str(caught.value)
