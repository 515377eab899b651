"""`lenet-bench compare`: what is judged and refused, from every kind of stored result, and how often it is wrong."""

import gzip
import itertools
import json
import math
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from fakes import noise, timed_runs
from fakes.timed_runs import SECONDS, SLOWER, run_command, verdicts
from scipy.stats import binom

from bench.analysis.table import build_table, write_table
from bench.compare.judge import NO_VERDICT, PASS, REGRESSION, compare
from bench.compare.read import read_side
from bench.compare.side import Side, from_run, measured
from bench.errors import SideError
from bench.records.reading import Reading


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def make(results):
    """Makes a run of SECONDS, another seed each time."""

    def make(name, seconds=SECONDS, **changes):
        return timed_runs.make_run(
            results / "gate" / name, seconds, **{"seed": len(list(results.glob("*/*"))), **changes}
        )

    return make


# What is judged ------------------------------------------------------------------------------------------------------


def test_the_slower_trial_is_named_and_the_others_are_the_same(make):
    comparison = compare(from_run(make("a")), from_run(make("b", SLOWER)))
    seen = verdicts(comparison)
    assert {name for name, verdict in seen.items() if verdict == "slower"} == {
        "gelu/forward", "gelu/backward", "gelu/step"
    }  # fmt: skip
    assert set(seen.values()) == {"slower", "same"}
    assert comparison.exit_code == REGRESSION
    assert comparison.header["outcome"] == "regression"
    step = next(one for one in comparison.verdicts if one.name == "gelu/step")
    assert step.low < 1.15 < step.high
    assert step.ratio == pytest.approx(1.15, rel=0.02)
    assert len(step.base_s) == len(step.head_s) == 5


def test_the_sides_swapped_turn_slower_into_faster(make):
    a, b = from_run(make("a")), from_run(make("b", SLOWER))
    there, back = compare(a, b), compare(b, a)
    assert back.exit_code == PASS
    assert verdicts(back)["gelu/step"] == "faster"
    for one, other in zip(there.verdicts, back.verdicts, strict=True):
        assert other.ratio == pytest.approx(1 / one.ratio)
        assert (other.low, other.high) == pytest.approx((1 / one.high, 1 / one.low))
        assert other.p == pytest.approx(one.p)


def test_noise_that_hides_the_answer_is_unknown_and_said(make):
    comparison = compare(from_run(make("a", spread=0.2)), from_run(make("b", spread=0.2)))
    assert "unknown" in verdicts(comparison).values()
    assert comparison.exit_code == PASS
    assert comparison.header["summary"].startswith("inconclusive: ")


def test_the_tolerance_decides_between_same_and_slower(make):
    a, b = from_run(make("a", spread=0.002)), from_run(make("b", {**SECONDS, "relu": 1.03e-3}, spread=0.002))
    assert verdicts(compare(a, b))["relu/step"] == "same"
    assert verdicts(compare(a, b, tolerance=0.01))["relu/step"] == "slower"
    assert verdicts(compare(a, b, tolerance=0.03))["relu/step"] == "unknown"


def test_missing_new_and_failed_are_named(make):
    a = from_run(make("a", {"relu": 1e-3, "tanh": 1e-3, "gelu": 1e-3, "silu": 1e-3}, failed=["silu"]))
    b = from_run(make("b", {"relu": 1e-3, "gelu": 1e-3, "silu": 1e-3, "elu": 1e-3}, failed=["gelu"]))
    comparison = compare(a, b)
    seen = verdicts(comparison)
    assert [seen[f"{name}/step"] for name in ("relu", "tanh", "gelu", "silu", "elu")] == [
        "same", "missing", "failed", "new", "new"
    ]  # fmt: skip
    assert len(seen) == 15
    notes = {one.name: one.note for one in comparison.verdicts}
    assert "signal 11" in notes["gelu/step"]
    assert "signal 11" in notes["silu/step"]
    assert comparison.exit_code == REGRESSION  # it ran before, and now it does not
    both = compare(from_run(make("c", failed=["relu"])), from_run(make("d", failed=["relu"])))
    assert verdicts(both)["relu"] == "unknown"
    assert both.exit_code == PASS


def test_nothing_in_common_is_no_verdict(make):
    comparison = compare(from_run(make("a", {"relu": 1e-3})), from_run(make("b", {"tanh": 1e-3})))
    assert comparison.exit_code == NO_VERDICT
    assert verdicts(comparison)["relu/step"] == "missing"
    assert compare(Side("x", timed_runs.MACHINE, []), Side("y", timed_runs.MACHINE, [])).exit_code == NO_VERDICT


@pytest.mark.parametrize("change", [{"id": "m2"}, {"torch": "2.12.0"}, {"id": ""}])
def test_another_place_is_refused_with_the_table_shown(make, change):
    comparison = compare(from_run(make("a")), from_run(make("b", SLOWER, machine=change)))
    if change == {"id": ""}:  # processor and cores are known and equal
        assert comparison.exit_code == REGRESSION
        return
    assert comparison.exit_code == NO_VERDICT
    assert set(verdicts(comparison).values()) == {"unknown"}
    assert all(math.isnan(one.p) for one in comparison.verdicts)
    assert comparison.verdicts[0].ratio == pytest.approx(1, rel=0.05)
    assert str(next(iter(change.values()))) in comparison.header["notes"][0]


def test_other_threads_are_refused(make):
    comparison = compare(from_run(make("a", base={"threads": 1})), from_run(make("b", base={"threads": 2})))
    assert comparison.exit_code == NO_VERDICT
    assert all(one.verdict == "unknown" and "threads 1 and 2" in one.note for one in comparison.verdicts)


def test_other_threads_of_one_trial_withhold_the_pass_but_not_the_other_verdicts(make):
    sides = []
    for name, threads, slower in (("a", 1, 1.0), ("b", 2, 1.0), ("c", 2, 1.2)):
        one = from_run(make(name, {"relu": slower * 1e-3}))
        two = from_run(make(f"{name}2", {"tanh": 1e-3}, base={"threads": threads}))
        sides.append(Side(one.label, one.place, one.benchmarks + two.benchmarks))
    same = compare(sides[0], sides[1])
    assert verdicts(same)["relu/step"] == "same"
    assert verdicts(same)["tanh/step"] == "unknown"
    assert same.exit_code == NO_VERDICT
    assert compare(sides[0], sides[2]).exit_code == REGRESSION


def test_a_trial_that_broke_on_another_machine_is_no_verdict(make):
    comparison = compare(from_run(make("a")), from_run(make("b", failed=["relu"], machine={"id": "m2"})))
    assert verdicts(comparison)["relu/step"] == "failed"
    assert comparison.exit_code == NO_VERDICT


def test_another_trial_under_the_same_name_is_not_compared(make):
    a = from_run(make("a", base={"epochs": 3}))
    for one in (b := from_run(make("b", base={"epochs": 4}))).benchmarks:
        object.__setattr__(one, "name", one.name.replace("-4", "-3"))
    comparison = compare(a, b)
    assert {one.note for one in comparison.verdicts} == {"epochs 3 and 4: not comparable"}
    assert comparison.exit_code == NO_VERDICT


def test_accuracy_is_compared_over_the_common_seeds(make):
    rows = compare(from_run(make("a")), from_run(make("b", accuracy=0.93))).header["accuracy"]
    assert [row["name"] for row in rows] == ["relu", "tanh", "gelu"]
    for row in rows:
        assert row["difference"] == pytest.approx(-0.02)
        assert row["high"] - row["low"] < 1e-9
        assert row["seeds"] == 3


def test_one_process_a_side_tells_only_large_changes(make):
    a = from_run(make("a", processes=1))
    small = compare(a, from_run(make("b", SLOWER, processes=1)))
    assert set(verdicts(small).values()) == {"unknown"}
    assert "one process" in small.header["notes"][0]
    large = compare(a, from_run(make("c", {**SECONDS, "gelu": 6e-3}, processes=1)))
    assert verdicts(large)["gelu/step"] == "slower"


# How often it is wrong -----------------------------------------------------------------------------------------------


def sides(kind, benchmarks, random, count=5):
    place = {"id": "m1", "torch": "2"}
    for _ in range(2):
        logs = noise.processes(kind, benchmarks, count, 5, random)
        medians = np.exp(np.median(logs, axis=2))
        yield Side("", place, [measured(f"b{n}", "", "", {}, list(row)) for n, row in enumerate(medians)])


@pytest.mark.parametrize("kind", ["normal", "heavy", "bimodal", "bursty"])
def test_the_family_of_36_is_wrong_at_most_as_often_as_alpha_says(kind):
    """Without a tolerance, so that the test alone decides."""
    random, suites, alpha = np.random.default_rng(41), 300, 0.05
    wrong = 0
    for _ in range(suites):
        comparison = compare(*sides(kind, 36, random), tolerance=0.0, alpha=alpha)
        wrong += any(one.verdict in ("slower", "faster") for one in comparison.verdicts)
    assert wrong <= binom.ppf(0.999, suites, alpha)


@pytest.mark.parametrize(("slowdown", "processes"), [(1.15, 5), (1.1, 10)])
def test_one_slower_among_36_is_found(slowdown, processes):
    random, found, suites = np.random.default_rng(42), 0, 60
    for _ in range(suites):
        base, head = sides("normal", 36, random, processes)
        head.benchmarks[7] = measured("b7", "", "", {}, [slowdown * value for value in head.benchmarks[7].seconds])
        found += verdicts(compare(base, head))["b7"] == "slower"
    assert found >= 54


RECORDED = Path(os.environ.get("LENET_BENCH_DATA", "")) / "aa_pairs.jsonl.gz"


@pytest.mark.skipif(not RECORDED.is_file(), reason="recorded pairs are not in $LENET_BENCH_DATA")
def test_recorded_times_of_identical_code_minutes_apart_are_seldom_told_apart():
    """16 runs of five processes each, cut from 13 minutes; every run against every other. The machine itself moved in
    that time, so that the share is above alpha: 4 of 120 when this was written.
    """
    rows = [json.loads(line) for line in gzip.decompress(RECORDED.read_bytes()).splitlines()]

    def cut(start, name):
        return [float(np.median([block[0] for block in row[name][:5]])) for row in rows[start : start + 5]]

    names = ("fwd16", "step16", "fwd64", "step64")
    runs = [
        Side("", {"id": "m1", "torch": "2"}, [measured(name, "", "", {}, cut(start, name)) for name in names])
        for start in range(0, 80, 5)
    ]
    pairs = list(itertools.combinations(runs, 2))
    wrong = sum(bool({"slower", "faster"} & set(verdicts(compare(a, b)).values())) for a, b in pairs)
    assert len(pairs) == 120
    assert wrong <= 6


# Where it comes from -------------------------------------------------------------------------------------------------


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
    from bench.tracking.sync import sync

    uri = f"sqlite:///{results / 'mlflow.db'}"
    ids = []
    for run in (make("a"), make("b", SLOWER)):
        table = build_table([run])
        ids.append(sync(run, uri, table=table, artifacts=write_table(Reading(run), table)).parent_run_id)
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


# The command ---------------------------------------------------------------------------------------------------------


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


def test_a_gate_refuses_its_files_before_it_measures(tmp_path):
    done = run_command("gate", "--json", "out", "--junit", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "lenet-bench: out: --json and --junit both write it; give each a file of its own\n"


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
