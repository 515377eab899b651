"""The commands of a sweep: what `plan`, `runs`, `table`, `report` and `run` print, and how they end."""

import csv
import io
import json
import os
import subprocess

from fakes.command_line import one_line, run_command
from fakes.made_run import make_record, make_run, odd_run, sweep

from bench.records.run import Run


def test_the_plan(tmp_path, call):
    done = call("plan", "experiments/quick.toml", "--set", "seeds=2")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split()[2:] == ["relu-max", "(baseline)"]
    assert lines[-1].startswith("17 trials x seeds 0, 1; roughly ")
    assert not (tmp_path / "results").exists()


def test_runs_are_listed_newest_last(results, call):
    done = call("runs", "--results", results)
    first, second = done.stdout.splitlines()
    assert first.endswith("20260101-000000  2 ok, 1 failed, 1 skipped")
    assert second.endswith("20260102-000000  2 ok, 1 failed")
    done = call("runs", "--results", results / "nothing")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_clone_without_runs_of_its_own_has_no_latest(tmp_path, call):
    """`baseline check` held the committed runs against themselves there, and passed."""
    sweep(tmp_path / "reference" / "mnist")
    for arguments in (["baseline", "save"], ["baseline", "check"], ["table", "latest"]):
        done = call(*arguments, "--results", tmp_path)
        assert done.returncode == 2, arguments
        assert "latest: no such run" in one_line(done.stderr)
    done = call("sync", "--results", tmp_path)
    assert (done.returncode, done.stdout) == (0, f"no runs under {tmp_path}\n")
    assert "reference/mnist  2 ok" in call("runs", "--results", tmp_path).stdout
    assert call("table", "reference/mnist", "--results", tmp_path).returncode == 0


def test_the_forms_of_a_table(results, call):
    def table(*arguments):
        done = call("table", "made", "--results", results, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    rows = list(csv.DictReader(io.StringIO(table("--csv"))))
    assert [row["name"] for row in rows] == ["relu", "tanh", "gelu", "silu-cuda"]
    assert float(rows[0]["test_accuracy"]) == 0.98
    kept = json.loads(table("--json", "--where", "step_ms < 1"))
    assert [row["name"] for row in kept] == ["tanh"]
    assert kept[0]["step_ms_low"] < kept[0]["step_ms"] < kept[0]["step_ms_high"]
    assert table("--md").splitlines()[0].startswith("| name | key |")
    assert "| activation | tanh |" in table("--effects", "--md")
    assert [row["level"] for row in json.loads(table("--effects", "--json"))][:2] == ["relu", "tanh"]
    text = table()
    assert "98.00 ± 2.48 %" in text
    assert "failed: the worker crashed (SIGABRT)" in text
    assert "(SIGABRT)" not in table("--where", "status == 'ok'")


def test_two_runs_side_by_side_are_told_apart(tmp_path, call):
    for name, machine in (("a", {}), ("b", {"id": "m2"})):
        make_run(tmp_path / name / "run", [make_record({}, (0.9, 0.91), (1e-3, 1e-3))], {}, machine=machine)
    done = call("table", "a", "b", "--results", tmp_path)
    assert "cannot be ranked against each other: machine m1, m2" in " ".join(done.stdout.split())
    assert "ranked against" not in call("table", "a", "--results", tmp_path).stdout


def test_a_report_is_made_again_with_hostile_names_as_they_are(results, call):
    done = call("report", "odd", "--results", results)
    assert (done.returncode, done.stderr) == (0, "")
    assert "[/b] <b>$x$, run 20260102-000000" in done.stdout
    assert "[bold]`x`" in done.stdout
    folder = results / "odd" / "20260102-000000"
    for name in ("table.csv", "report.md", "report.html", "plots/training_curves.png"):
        assert (folder / name).stat().st_size > 0
        assert name in done.stdout


def test_a_report_of_a_run_without_records(tmp_path, call):
    odd_run(tmp_path / "odd" / "a", "nothing recorded")
    for arguments in (["report", "odd"], ["table", "odd"], ["table", "odd", "--effects"], ["table", "odd", "--csv"]):
        done = call(*arguments, "--results", tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), arguments


def test_a_report_that_cannot_be_written_is_one_line(tmp_path, call):
    run = sweep(tmp_path / "made" / "a")
    (run.path / "plots").write_text("a file where the folder should be")
    done = call("report", "made", "--results", tmp_path)
    assert done.returncode == 2
    assert "plots" in one_line(done.stderr)
    assert Run.open(run.path).records()[0].name == "relu"


def test_a_sweep_whose_reader_leaves_says_how_to_go_on(tmp_path):
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = run_command(
            "run", "experiments/quick.toml", "--no-track", "--results", tmp_path, "--set", "epochs=1",
            capture_output=False, stdout=write_end, stderr=subprocess.PIPE,
        )  # fmt: skip
    finally:
        os.close(write_end)
    assert done.returncode == 130
    assert "--resume" in one_line(done.stderr)
    assert list(tmp_path.glob("quick/*/experiment.json"))


def test_brackets_in_a_question_are_printed(tmp_path, call):
    file = tmp_path / "odd.toml"
    file.write_text('question = "Which [/b] of [red]these[bold]?"\nseeds = 1\n[base]\ndata = "synthetic"\n'
                    "[timing]\nenabled = false\n")  # fmt: skip
    done = call("run", file, "--no-track", "--results", tmp_path / "results")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Which [/b] of [red]these[bold]?" in done.stdout
    assert "Nothing was trained or timed." in done.stdout
