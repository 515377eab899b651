"""Where a side comes from: runs, tables, MLflow and pytest-benchmark give the same verdicts."""

import functools
import json

import numpy as np
import pytest
from fakes import timed_runs
from fakes.tables import build_table
from fakes.timed_runs import SLOWER, verdicts
from fakes.tracked_run import held_sweeps, sync

from bench.analysis.table import write_table
from bench.compare.judge import NO_VERDICT, REGRESSION, compare
from bench.compare.read import read_side
from bench.errors import SideError
from bench.records.reading import Reading


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def make(results):
    """Makes a run of SECONDS, another seed each time."""
    return functools.partial(timed_runs.make_next_run, results)


def test_every_kind_of_store_gives_the_same_ratios(make, results, tmp_path):
    a, b = make("a"), make("b", SLOWER)
    for run in (a, b):
        write_table(Reading(run), build_table([run]))
    forms = [(str(a.path), str(b.path)), ("gate/a", "gate/b"), ("gate/a", "gate")]
    forms += [
        (str(a.path / f"table.{x}"), str(b.path / f"table.{y}")) for x in ("csv", "parquet") for y in ("csv", "parquet")
    ]
    forms.append((str(a.path / "table.csv"), str(b.path)))
    seen = []
    for base, head in forms:
        comparison = compare(read_side(base, results), read_side(head, results))
        assert comparison.exit_code == REGRESSION
        seen.append(sorted((one.name, one.verdict, one.ratio, one.low, one.p) for one in comparison.verdicts))
        assert len(comparison.header["accuracy"]) == 3
    for other in seen[1:]:
        for one, two in zip(seen[0], other, strict=True):
            assert one[:2] == two[:2]
            assert two[2:] == pytest.approx(one[2:], rel=1e-6)


def test_parent_runs_in_mlflow(make, results):
    uri = f"sqlite:///{results / 'mlflow.db'}"
    ids = []
    for run in (make("a"), make("b", SLOWER)):
        sync(run, uri, artifacts=write_table(Reading(run), build_table([run])))
        ids += [found.info.run_id for found in held_sweeps(uri) if found.info.run_id not in ids]
    a, b = (read_side(f"mlflow:{run_id}", results, uri) for run_id in ids)
    assert verdicts(compare(a, b))["gelu/step"] == "slower"
    mixed = compare(read_side("gate/a", results), b)
    assert verdicts(mixed)["gelu/step"] == "slower"
    from bench.errors import TrackingError

    with pytest.raises((SideError, TrackingError), match="0" * 32):
        read_side("mlflow:" + "0" * 32, results, uri)


def pytest_json(path, seconds, cpu="Testing 3000", data=True):
    benchmarks = []
    for name, value in seconds.items():
        stats = {"min": value, "max": value, "mean": value, "stddev": 0.0, "rounds": 3, "median": value, "iqr": 0.0}
        stats |= {"data": [value] * 3} if data else {}
        benchmarks.append(
            {"name": name, "fullname": f"tests/test_x.py::{name}", "group": None, "params": None, "stats": stats}
        )
    path.parent.mkdir(exist_ok=True, parents=True)
    machine = {"node": "here", "cpu": {"brand_raw": cpu, "count": 2}}
    path.write_text(json.dumps({"machine_info": machine, "commit_info": {"id": "1"}, "benchmarks": benchmarks}))
    return str(path)


def test_two_files_of_pytest_benchmark_and_folders_of_them(tmp_path):
    times = {"test_a": 1e-3, "test_b": 1e-5}
    a = pytest_json(tmp_path / "a.json", times)
    b = pytest_json(tmp_path / "b.json", {"test_a": 4e-3, "test_b": 1.01e-5}, data=False)
    seen = verdicts(compare(read_side(a, tmp_path), read_side(b, tmp_path)))
    assert seen == {"tests/test_x.py::test_a": "slower", "tests/test_x.py::test_b": "unknown"}
    other = pytest_json(tmp_path / "c.json", times, cpu="Another 9")
    assert compare(read_side(a, tmp_path), read_side(other, tmp_path)).exit_code == NO_VERDICT
    random = np.random.default_rng(1)
    for folder, factor in (("before", 1.0), ("after", 1.1)):
        for number in range(6):
            moved = {name: factor * value * np.exp(0.01 * random.standard_normal()) for name, value in times.items()}
            pytest_json(tmp_path / folder / f"{number}.json", moved)
    comparison = compare(read_side(str(tmp_path / "before"), tmp_path), read_side(str(tmp_path / "after"), tmp_path))
    assert set(verdicts(comparison).values()) == {"slower"}


def test_a_run_against_a_suite_on_an_unknown_machine_is_refused(make, results, tmp_path):
    make("a")
    suite = pytest_json(tmp_path / "a.json", {"relu/step": 1e-3}, cpu="")
    comparison = compare(read_side("gate", results), read_side(suite, results))
    assert comparison.exit_code == NO_VERDICT
