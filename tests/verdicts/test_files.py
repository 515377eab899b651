"""The files that verdicts are written to: read back by the tools they are for where those are at hand, else by their
rules.
"""

import json
import math
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from bench.compare.side import from_pytest_files
from bench.errors import FormatError, RecordError
from bench.tracking.pytest_import import file_entries
from bench.verdicts.bencher import write_bencher
from bench.verdicts.files import SUMMARY_LIMIT, write_files, write_json
from bench.verdicts.github_action import write_github_action_benchmark
from bench.verdicts.junit import write_junit
from bench.verdicts.markdown import write_markdown
from bench.verdicts.pytest_benchmark import describe, read_pytest_benchmark, write_pytest_benchmark
from bench.verdicts.text import write_text
from bench.verdicts.verdict import SEVERITIES, VERDICTS, Verdict, grade

HEADER = {
    "title": "gate <main>", "base": "main 0123abc", "head": "work | 4567def", "outcome": "regression",
    "summary": "regression: 1 slower", "notes": ["a note *with* signs"], "commit": "4567def",
    "started_s": 1_760_000_000,
    "machine": {"hostname": "here", "cpu": "Testing 3000", "cores": 2, "id": "m1", "torch": "2.13.0"},
    "settings": {"tolerance": 0.05, "alpha": 0.01},
    "accuracy": [{"name": "relu", "difference": -0.012, "low": -0.02, "high": -0.004, "seeds": 3}],
}  # fmt: skip
BASE, HEAD = [1e-3, 1.02e-3, 0.98e-3], [1.1e-3, 1.12e-3, 1.08e-3]
VERDICT_LIST = grade(
    [
        Verdict("same | <b>/step", "same", BASE, BASE, 1.0, 0.99, 1.01, 1.0),
        Verdict("relu/step", "slower", BASE, HEAD, 1.1, 1.08, 1.12, 0.0004),
        Verdict("tanh/step", "faster", HEAD, BASE, 0.91, 0.89, 0.93, 0.002),
        Verdict("gelu/step", "unknown", BASE, HEAD, 1.1, 0.8, 1.5, 0.4, "the interval is wider than the tolerance"),
        Verdict("gone/step", "missing", BASE, note="only the base has it"),
        Verdict("fresh/step", "new", [], HEAD, note="only the head has it"),
        Verdict("broke/step", "failed", BASE, note="killed \x00 by \ud800 signal 11 & <more>"),
        Verdict("known/step", "accepted", BASE, HEAD, 1.1, 1.08, 1.12, 0.0004, "accepted until 2027-01-01"),
        Verdict("single/step", "same", [1e-3], [1e-3], 1.0),
    ],
    SEVERITIES,
)


def test_every_verdict_is_in_the_list():
    assert {one.verdict for one in VERDICT_LIST} == set(VERDICTS)


def test_own_json_keeps_everything_and_knows_no_nan():
    content = json.loads(write_json(HEADER, VERDICT_LIST), parse_constant=pytest.fail)
    assert content["schema"] == 1
    assert content["base"] == "main 0123abc"
    assert len(content["verdicts"]) == len(VERDICT_LIST)
    assert content["verdicts"][1]["head_s"] == HEAD
    assert content["verdicts"][4]["ratio"] is None


def test_github_action_benchmark():
    entries = json.loads(write_github_action_benchmark(HEADER, VERDICT_LIST))
    assert [entry["name"] for entry in entries] == [one.name for one in VERDICT_LIST if one.head_s]
    for entry in entries:
        assert set(entry) <= {"name", "unit", "value", "range", "extra"}
        assert all(isinstance(entry[key], str) for key in entry if key != "value")
    relu = entries[1]
    assert relu["unit"] == "ms"
    assert relu["value"] == pytest.approx(1.1, rel=1e-3)
    assert float(relu["range"]) == pytest.approx(0.02, rel=1e-3)
    assert "base: main 0123abc" in relu["extra"]
    assert "+10.0 % [+8.0, +12.0]" in relu["extra"]


def test_bencher_metric_format():
    metrics = json.loads(write_bencher(HEADER, [*VERDICT_LIST, Verdict("x" * 2000, "same", BASE, BASE)]))
    assert "gone/step" not in metrics
    assert max(map(len, metrics)) == 1024
    for measures in metrics.values():
        assert set(measures) == {"latency"}
        assert set(measures["latency"]) <= {"value", "lower_value", "upper_value"}
    latency = metrics["relu/step"]["latency"]
    assert latency["lower_value"] < latency["value"] < latency["upper_value"]
    assert latency["value"] == pytest.approx(1.1e6, rel=1e-3)
    assert set(metrics["single/step"]["latency"]) == {"value"}


def test_junit_maps_verdicts_and_repeats_the_text_in_the_body():
    text = write_junit(HEADER, VERDICT_LIST)
    root = ElementTree.fromstring(text)
    assert root.tag == "testsuites"
    suite = root.find("testsuite")
    assert suite.attrib["timestamp"] == "2025-10-09T08:53:20"
    assert suite.attrib["hostname"] == "here"
    assert suite.find("properties/property[@name='tolerance']").attrib["value"] == "0.05"
    cases = {case.attrib["name"]: case for case in suite.iter("testcase")}
    inside = {name: [child.tag for child in case] for name, case in cases.items()}
    assert inside["relu/step"] == ["failure"]
    assert inside["broke/step"] == ["error"]
    assert [inside[f"{name}/step"] for name in ("gelu", "gone", "fresh")] == [["skipped"]] * 3
    assert [inside[name] for name in ("tanh/step", "known/step", "same | <b>/step")] == [["system-out"]] * 3
    for tag, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert int(suite.attrib[attribute]) == sum(tag in tags for tags in inside.values())
    assert int(suite.attrib["tests"]) == len(cases) == len(VERDICT_LIST)
    failure = cases["relu/step"].find("failure")
    assert failure.text == failure.attrib["message"]
    assert "+10.0 % [+8.0, +12.0]" in failure.text
    assert cases["broke/step"].find("error").text == "broke/step: failed, killed ? by ? signal 11 & <more>"
    assert float(cases["relu/step"].attrib["time"]) == pytest.approx(1.1e-3, rel=1e-3)


def test_junit_has_only_what_the_schema_of_xunit2_allows():
    allowed = {
        "testsuites": set(),
        "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"},
        "property": {"name", "value"}, "properties": set(), "testcase": {"classname", "name", "time"},
        "failure": {"message", "type"}, "error": {"message", "type"}, "skipped": {"message"}, "system-out": set(),
    }  # fmt: skip
    for element in ElementTree.fromstring(write_junit({}, VERDICT_LIST)).iter():
        assert set(element.attrib) == allowed[element.tag]


def test_markdown_shows_the_worst_first_and_nothing_breaks_out():
    lines = write_markdown(HEADER, VERDICT_LIST).splitlines()
    assert lines[0] == "### gate &lt;main&gt;"
    rows = [line for line in lines if line.startswith("| ") and not line.startswith(("| benchmark", "| trial"))]
    assert rows[0].startswith("| relu/step | 999.9 us | 1.1 ms | +10.0 % [+8.0, +12.0] | 0.0004 | **slower**")
    assert rows[1].startswith("| broke/step")
    assert sum("step" in row for row in rows) == len(VERDICT_LIST)
    assert any(row.startswith("| same \\| &lt;b&gt;/step") for row in rows)
    assert rows[-1] == "| relu | -1.20 [-2.00, -0.40] | 3 |"
    assert lines.index("<details><summary>3 faster or the same</summary>") < lines.index("</details>")
    assert "<details>" not in write_markdown(HEADER, VERDICT_LIST[:1])
    assert "- a note \\*with\\* signs" in lines
    assert write_markdown({}, []).strip() == "### lenet-bench compare"


def test_text_is_aligned_and_ends_with_the_summary():
    lines = write_text(HEADER, VERDICT_LIST).splitlines()
    assert lines[-1] == "regression: 1 slower"
    assert lines[4].startswith("relu/step")
    assert write_text({}, []).startswith("base")


# pytest-benchmark ----------------------------------------------------------------------------------------------------


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


# Files ---------------------------------------------------------------------------------------------------------------


def test_files_are_written_whole_and_the_job_summary_is_appended_to(tmp_path, monkeypatch, capsys):
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    names = ("json", "markdown", "junit", "github_action_benchmark", "bencher", "pytest_benchmark")
    write_files(HEADER, VERDICT_LIST, {**{name: tmp_path / name for name in names}, "bencher": Path("-")})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [
            "json",
            "markdown",
            "junit",
            "github_action_benchmark",
            "pytest_benchmark",
            "pytest_benchmark-base",
            "summary.md",
        ]
    )
    assert "relu/step" in json.loads(capsys.readouterr().out)
    assert summary.read_text() == "before\n" + (tmp_path / "markdown").read_text()
    many = [Verdict(f"{number:05d}" + "x" * 200, "slower", BASE, HEAD) for number in range(5000)]
    write_files(HEADER, many, {})
    assert summary.stat().st_size < SUMMARY_LIMIT + 50_000
    assert summary.read_text().endswith("(cut; the whole is in the files)\n")
    with pytest.raises(RecordError, match="cannot be written"):
        write_files(HEADER, [], {"json": tmp_path / "no" / "such"})


@pytest.mark.parametrize("write", [write_text, write_markdown])
def test_equal_accuracy_has_no_minus_sign(write):
    equal = {"name": "relu", "difference": -0.0, "low": -0.0, "high": -0.0, "seeds": 4}
    assert "+0.00 [+0.00, +0.00]" in write(HEADER | {"accuracy": [equal]}, VERDICT_LIST)


@pytest.mark.parametrize("write", [write_text, write_markdown, write_junit])
def test_a_change_that_rounds_to_nothing_has_no_minus_sign(write):
    text = write(HEADER, [Verdict("relu/step", "same", BASE, BASE, 0.9999, 0.9996, 1.0, 1.0)])
    assert "+0.0 % [+0.0, +0.0]" in text


@pytest.mark.parametrize("write", [write_text, write_markdown])
def test_accuracy_that_no_seed_has_on_both_sides_is_a_dash(write):
    unknown = {"name": "relu", "difference": math.nan, "low": math.nan, "high": math.nan, "seeds": 0}
    text = write(HEADER | {"accuracy": [unknown]}, VERDICT_LIST)
    assert "relu" in text
    assert "nan" not in text


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


def test_a_reader_that_left_does_not_change_how_a_judge_ends():
    """More than a pipe holds, to a reader that has gone: the exit code is the verdict's, and the rest is written."""
    script = "import sys\nfrom pathlib import Path\nfrom bench.verdicts.files import write_file\n" + (
        "write_file(Path('-'), 'x' * 1_000_000)\nprint('on', file=sys.stderr)\nsys.exit(1)\n"
    )
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run([sys.executable, "-c", script], stdout=write_end, stderr=subprocess.PIPE, text=True)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (1, "on\n")
