"""The command as it is run: exit codes, help, pipes that close, no traceback for bad input, and what each command
prints.
"""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.made_run import make_record, make_run, odd_run, sweep

from bench.cli.main import main
from bench.records.run import Run

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("run", "plan", "runs", "table", "report", "sync", "links", "ui", "doctor", "gate")


def run_command(*arguments, **options):
    """A process of its own, as a person starts it."""
    environment = {**os.environ, "COLUMNS": "120", **options.pop("env", {})}
    command = [sys.executable, "-m", "bench", *map(str, arguments)]
    options = {"capture_output": True, "text": True, "cwd": ROOT, **options}
    return subprocess.run(command, env=environment, timeout=240, check=False, **options)


@pytest.fixture
def call(monkeypatch, capsys):
    """The same within this process, where pandas is imported already."""
    for name in ("LENET_BENCH_RESULTS", "LENET_BENCH_DATA", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(ROOT)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["lenet-bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, ended.value.code or 0, out, err)

    return call


def one_line(err):
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    return lines[0]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two runs: an ordinary one, and one with hostile names."""
    results = tmp_path_factory.mktemp("results")
    sweep(results / "made" / "20260101-000000")
    odd_run(results / "odd" / "20260102-000000", "hostile")
    return results


def test_help_lists_every_command_with_a_line(call):
    done = call("--help")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    for command in COMMANDS:
        assert any(line.split()[:1] == [command] and len(line.split()) > 3 for line in lines), command
    assert call().stderr.strip() == done.stdout.strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, call):
    done = call(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: lenet-bench {command}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["table"], "Missing argument 'RUN...'"),
        (["plan", "experiments/quick.toml", "--nonsense"], "No such option"),
        (["plan", "experiments/quick.toml", "--jobs", "0"], "'--jobs'"),
        (["run", "experiments/quick.toml", "--jobs", "two"], "'--jobs'"),
    ],
)
def test_a_command_that_is_not_understood_shows_its_usage(arguments, message, call):
    done = call(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "experiments/quik.toml"], "no such file; did you mean 'quick.toml'?"),
        (["plan", "/"], "cannot be read"),
        (["plan", "pyproject.toml"], "pyproject.toml: unknown key"),
        (["plan", "LICENSE"], "not TOML"),
        (["plan", "experiments/quick.toml", "--set", "activation=rellu"], "did you mean 'relu'?"),
        (["run", "experiments/quick.toml", "--resume", "latest"], "one of the two"),
        (["run", "--resume", "made", "--set", "seeds=1"], "--set cannot change a run"),
        (["table", "nothing"], "no such run"),
        (["table", "/nothing"], "no such run"),
        (["table", "*"], "no such run"),
        (["table", "two\nlines"], "two lines: no such run"),
        (["table", "x" * 300], "no such run"),
        (["report", "/tmp"], "no such run"),
        (["table", "made", "--where", "activaton == 'relu'"], "no column 'activaton'; did you mean 'activation'?"),
        (["table", "made", "--where", "seeds"], "not a condition"),
        (["table", "made", "--md", "--csv"], "exclude each other"),
        (["links", "made", "--tracking-uri", "nonsense://x"], "unknown scheme"),
        (["links", "made", "--tracking-uri", "http://127.0.0.1:99999"], "does not answer"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(results, arguments, message, call, monkeypatch):
    monkeypatch.setenv("LENET_BENCH_RESULTS", str(results))
    done = call(*arguments)
    assert done.returncode == 2
    assert message in one_line(done.stderr)
    assert one_line(done.stderr).startswith("lenet-bench: ")
    assert done.stdout == ""


def test_a_damaged_run_is_one_line(tmp_path, call):
    run = sweep(tmp_path / "made" / "a")
    records = run.path / "records.jsonl"
    whole = records.read_text()
    for damage, message in (
        (whole.replace('"key"', "key", 1), "records.jsonl:1: not a line of JSON"),
        (whole.replace('"schema":1', '"schema":99', 1), "record of schema 99"),
    ):
        records.write_text(damage)
        done = call("table", "made", "--results", tmp_path)
        assert done.returncode == 2
        assert message in one_line(done.stderr)
        assert message in call("runs", "--results", tmp_path).stdout
    records.write_text(whole[:-20])  # torn by a crash: the last trial is missing, and that is all
    assert "1 missing" in call("runs", "--results", tmp_path).stdout
    for text in ("{", "[]", "{}", "\xff"):
        (run.path / "experiment.json").write_bytes(text.encode("latin-1"))
        done = call("table", "made", "--results", tmp_path)
        assert done.returncode == 2
        assert "experiment.json" in one_line(done.stderr) or "cannot be read" in one_line(done.stderr)


INTERRUPTED_IN_EXEC = """
import signal
import bench.cli.main

bench.cli.main.main = lambda: exec("signal.raise_signal(signal.{stop})", {{"signal": signal}})
"""


@pytest.mark.parametrize("stop", ["SIGINT", "SIGTERM"])
def test_an_interrupt_inside_an_exec_ends_with_the_exit_code(stop, tmp_path):
    """Not by the signal, as `python -m` by itself has it: dataclasses are made by `exec`, which imports are full of."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED_IN_EXEC.format(stop=stop))
    done = run_command("runs", env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"})
    assert (done.returncode, done.stderr) == (130, "lenet-bench: interrupted\n")


BUG = """
import bench.cli.main
from bench.__main__ import main

def fail(**_):
    raise {error}

bench.cli.main.app = fail
main()
"""


@pytest.mark.parametrize("error", ["TypeError(3)", "MemoryError", "RecursionError", "UnicodeError(7)"])
def test_a_bug_keeps_its_traceback_and_is_no_finding(error):
    done = subprocess.run([sys.executable, "-c", BUG.format(error=error)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2  # 1 says that something became slower
    assert "Traceback" in done.stderr
    assert error.partition("(")[0] in done.stderr


@pytest.mark.parametrize("error", ["OSError(28, 'No space left on device', 'x.json')", "OSError('odd')"])
def test_an_error_of_the_system_is_one_line_and_no_finding(error):
    done = subprocess.run([sys.executable, "-c", BUG.format(error=error)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert one_line(done.stderr).startswith("lenet-bench: ")


def test_a_suite_that_cannot_be_imported_is_no_finding():
    broken = "import sys\nsys.modules['bench.cli'] = None\nfrom bench.__main__ import main\nmain()\n"
    done = subprocess.run([sys.executable, "-c", broken], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert "ModuleNotFoundError" in done.stderr


def test_an_early_end_of_a_file_is_no_finding(call, monkeypatch):
    def fail(*_):
        raise EOFError

    monkeypatch.setattr("bench.records.run.list_runs", fail)
    assert call("runs").returncode == 2


def test_debug_keeps_the_traceback():
    done = run_command("table", "nothing", "--debug")
    assert done.returncode == 2
    assert "RecordError: nothing: no such run" in done.stderr
    assert "Traceback" in done.stderr
    done = run_command("table", "nothing")
    assert done.returncode == 2
    assert one_line(done.stderr).startswith("lenet-bench: nothing: no such run")


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


@pytest.mark.parametrize(
    "arguments",
    [["table", "made"], ["runs"], ["plan", "experiments/quick.toml"], ["--help"], ["table", "large", "--json"]],
)  # fmt: skip
def test_a_reader_that_leaves_is_no_error(results, arguments):
    """As `lenet-bench ... | head -0`: with little to print, and with more than a pipe holds."""
    if "large" in arguments and not (results / "large").exists():
        records = [make_record({"epochs": n}, (0.9, 0.91)) for n in range(1, 101)]
        make_run(results / "large" / "20250101-000000", records, {"epochs": list(range(1, 101))})
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = run_command(
            *arguments, env={"LENET_BENCH_RESULTS": str(results)}, capture_output=False, stdout=write_end,
            stderr=subprocess.PIPE,
        )  # fmt: skip
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (0, "")


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


def test_the_doctor_examines_and_changes_nothing(tmp_path, call):
    done = call("doctor", "--results", tmp_path / "results", "--data-root", tmp_path / "data")
    assert (done.returncode, done.stderr) == (0, "")
    for topic in ("processor", "torch", "digits", "mnist", "results", "mlflow"):
        assert topic in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("arguments", [["table", "made"], ["runs"]])
def test_a_terminal_that_has_not_every_sign_gets_a_question_mark(results, encoding, arguments):
    done = run_command(*arguments, env={"PYTHONIOENCODING": encoding, "LENET_BENCH_RESULTS": str(results)}, text=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode(encoding)


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_a_closed_stream_is_no_error(results, closed):
    command = f'exec "{sys.executable}" -m bench table made {closed}'
    environment = {**os.environ, "LENET_BENCH_RESULTS": str(results)}
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("relu" in done.stdout) == ("1>&-" not in closed)


def test_a_closed_streams_number_is_given_to_no_file(results, tmp_path):
    """What a worker prints would be written into it."""
    script = "import os; from bench.__main__ import prepare_streams; prepare_streams(); os._exit(os.open('x', 66) < 3)"
    command = f'exec "{sys.executable}" -c "{script}" 0<&- 1>&- 2>&-'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment, check=False).returncode == 0
