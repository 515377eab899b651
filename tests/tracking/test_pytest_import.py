import json

import pytest
from fakes.tracked_run import held_sweeps, held_trials

from bench.tracking.pytest_import import file_entries, import_file
from bench.tracking.store import open_store
from bench.verdicts.pytest_benchmark import read_pytest_benchmark

BENCHMARKS = {
    "datetime": "2025-10-09T08:53:20+00:00",
    "machine_info": {"node": "here", "cpu": {"brand_raw": "a processor"}},
    "commit_info": {"id": "0123abc", "branch": "main", "dirty": False},
    "benchmarks": [
        {"name": f"test_it[{size}]", "fullname": f"tests/test_x.py::test_it[{size}]", "group": None,
         "params": {"size": size}, "extra_info": {"what, (ever)": "x"},
         "stats": {"min": 0.001, "max": 0.002, "mean": 0.0015, "stddev": 0.0001, "median": 0.0014, "iqr": 0.0002,
                   "rounds": 9, "iterations": 1, "ops": 666.7, "q1": 0.0013, "q3": float("inf")}}
        for size in (1, 2)
    ],
}  # fmt: skip


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "b.json"
    path.write_text(json.dumps(BENCHMARKS))
    return read_pytest_benchmark(path)


def test_results_of_pytest_benchmark_stand_beside_and_twice_adds_nothing(file, uri, tmp_path):
    with open_store(uri, tmp_path) as store:
        assert str(import_file(store, file)) == "2 sent"
        assert str(import_file(store, file)) == "2 unchanged"
    trials = held_trials(uri)
    assert sorted(trials) == ["test_it[1]", "test_it[2]"]
    one = trials["test_it[1]"].data
    assert one.metrics["time/median_ms"] == pytest.approx(1.4)
    assert one.metrics["quality/rounds"] == 9
    assert "time/q3_ms" not in one.metrics  # it is infinite
    assert one.params["info what_ _ever_"] == "x"
    assert one.tags["mlflow.source.git.commit"] == "0123abc"
    assert [sweep.info.status for sweep in held_sweeps(uri)] == ["FINISHED"]


def test_equal_files_give_equal_entries_and_another_moment_gives_others(file, tmp_path):
    sweep, entries = file_entries(file)
    assert file_entries(file) == (sweep, entries)
    assert sweep.start_ms == 1_760_000_000_000
    later = tmp_path / "later.json"
    later.write_text(json.dumps({**BENCHMARKS, "datetime": "no date"}))
    other, _ = file_entries(read_pytest_benchmark(later))
    assert other.uid != sweep.uid
    assert other.start_ms == 0
