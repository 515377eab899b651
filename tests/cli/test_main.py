"""The command as it is run: exit codes, help, streams that close, and no traceback for bad input."""

import os
import subprocess
import sys

import pytest
from fakes.command_line import ROOT, one_line, run_command
from fakes.made_run import make_record, make_run, sweep

COMMANDS = ("run", "plan", "runs", "table", "report", "sync", "links", "ui", "doctor", "gate")


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


INTERRUPTED_IN_A_CLASS = """
import sys
import bench.cli.main
from bench.__main__ import main

class Field:
    def __set_name__(self, owner, name):
        raise KeyboardInterrupt

def run():
    type("Late", (), {"field": Field()})

bench.cli.main.main = run
main()
"""


def test_an_interrupt_while_a_class_is_made_is_an_interrupt():
    """Python 3.11 wraps it in a RuntimeError, and imports make many classes."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED_IN_A_CLASS], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (130, "lenet-bench: interrupted\n")
