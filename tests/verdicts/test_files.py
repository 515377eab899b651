"""The files that verdicts are written to: whole, where they were asked for, and the job's summary."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.verdict_list import BASE, HEAD, HEADER, VERDICT_LIST

from bench.errors import RecordError
from bench.verdicts.files import SUMMARY_LIMIT, write_files, write_json
from bench.verdicts.verdict import VERDICTS, Verdict


def test_every_verdict_is_in_the_list():
    assert {one.verdict for one in VERDICT_LIST} == set(VERDICTS)


def test_own_json_keeps_everything_and_knows_no_nan():
    content = json.loads(write_json(HEADER, VERDICT_LIST), parse_constant=pytest.fail)
    assert content["schema"] == 1
    assert content["base"] == "main 0123abc"
    assert len(content["verdicts"]) == len(VERDICT_LIST)
    assert content["verdicts"][1]["head_s"] == HEAD
    assert content["verdicts"][4]["ratio"] is None


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
