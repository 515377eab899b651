"""`lenet-bench gate --pytest` on a repository that knows nothing of this one: an ordinary pytest-benchmark suite."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from bench.gate.trees import PREFIX

pytestmark = pytest.mark.integration
SUITE = "tests/benchmarks"

PACKAGE = """
def total(numbers):
    found = 0
    for number in numbers:
        found += number
    return found


def take(stack):
    return stack.pop()


def old():
    return sum(range(200))
"""

PYPROJECT = """
[tool.pytest.ini_options]
addopts = ["-x", "--benchmark-only", "--benchmark-autosave", "--strict-markers", "--strict-config"]
filterwarnings = ["error"]
markers = ["slow: takes long"]

[tool.lenet-bench.gate]
alpha = 0.2
screen_pairs = 1
confirm_pairs = 8
extend_pairs = 0
alternations = 7
block_ms = 2.0
"""

TESTS = """
import time

import pytest
from shapes import take, total


@pytest.fixture(scope="module")
def numbers():
    return list(range(1000))


def test_plain():
    raise AssertionError("no benchmark: never run")


def test_total(benchmark, numbers):
    assert benchmark(total, numbers) == 499500


@pytest.mark.benchmark(group="by size")
@pytest.mark.parametrize("size", [10, 100])
def test_size(benchmark, size):
    benchmark.extra_info["size"] = size
    assert (benchmark.group, benchmark.stats, benchmark.params) == ("by size", None, {"size": size})
    assert benchmark(sum, range(size), start=1) == 1 + size * (size - 1) // 2


def test_pedantic(benchmark, tmp_path):
    stack, torn = [], []

    def setup():
        assert not stack, "setup ran twice for one call"
        stack.append(7)
        return (stack,), {}

    assert benchmark.pedantic(take, setup=setup, teardown=torn.append, rounds=3, iterations=1) == 7
    assert len(torn) > 5


def test_pedantic_arguments(benchmark):
    assert benchmark.pedantic(total, args=([1, 2],), rounds=2, iterations=2, warmup_rounds=1) == 3


def test_decorator(benchmark):
    @benchmark
    def result():
        return 5

    assert result == 5


def test_answer(benchmark):
    assert benchmark(lambda: ANSWER) == 42


def test_long(benchmark):
    benchmark(time.sleep, 0.01)


def test_weave(benchmark):
    benchmark.weave("shapes.total")


def test_forgets(benchmark):
    pass


class TestOld:
    ONLY
    def test_class(self, benchmark):
        print("what a benchmark prints", input is None)
        benchmark(total, range(10))
"""

OTHER_FILE = """
from shapes import old


def test_old(benchmark):
    assert benchmark(old) == 19900
"""


def git(folder, *arguments):
    author = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True)


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


def commit(folder, message):
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)


@pytest.fixture
def repository(tmp_path):
    """One commit of a small package and its suite."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    write(
        folder,
        {
            "pyproject.toml": PYPROJECT,
            "shapes/__init__.py": PACKAGE,
            f"{SUITE}/test_shapes.py": TESTS.replace("ANSWER", "42").replace("ONLY", ""),
            f"{SUITE}/test_old.py": OTHER_FILE,
        },
    )
    commit(folder, "base")
    return folder


def gate(folder, *arguments):
    """Runs the command as a person would, in the repository. Returns what ended, and the newest gate file."""
    environment = {**os.environ, "TMPDIR": str(folder.parent), "LENET_BENCH_RESULTS": str(folder.parent / "results")}
    command = [sys.executable, "-m", "bench", "gate", "--base", "HEAD~1", "--pytest", SUITE, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    assert not list(folder.parent.glob(f"{PREFIX}*")), "trees were left behind"
    files = sorted((folder.parent / "results").glob("gate/*/gate.json"))
    return done, files[-1] if files else None


def verdicts(file):
    from bench.gate.stored import read_gate

    return {one.name: one for one in read_gate(file).decide().verdicts}


def named(short, file="test_shapes.py"):
    return f"{SUITE}/{file}::{short}"


def test_a_slowdown_and_whatever_else_changed_is_named(repository):
    package = PACKAGE.replace(
        "    for number in numbers:", "    for number in [n for _ in range(3) for n in numbers][-len(numbers):]:"
    )
    suite = TESTS.replace("ANSWER", "41").replace("ONLY", "@pytest.mark.slow").replace("test_class", "test_new")
    write(repository, {"shapes/__init__.py": package.replace("def old", "def older"), f"{SUITE}/test_shapes.py": suite})
    commit(repository, "head")
    done, file = gate(repository)
    assert done.returncode == 1, done.stdout + done.stderr
    found = verdicts(file)
    slow = found.pop(named("test_total"))
    assert slow.verdict == "slower"
    assert slow.ratio > 1.8
    for name in (
        "test_size[10]",
        "test_size[100]",
        "test_pedantic",
        "test_pedantic_arguments",
        "test_decorator",
        "test_long",
    ):
        assert found.pop(named(name)).base_s, name
    notes = {name.rpartition("::")[2]: (one.verdict, one.note) for name, one in found.items()}
    assert notes.pop("test_answer")[0] == "failed"
    assert "AssertionError: assert 41 == 42" in found[named("test_answer")].note
    assert notes.pop("test_old")[0] == "failed"
    assert "cannot import name 'old'" in found[named("test_old", "test_old.py")].note
    assert notes.pop("test_class")[0] == "missing"
    assert notes.pop("test_new") == ("new", "nothing to compare with: not in base")
    assert "weave cannot be gated" in notes.pop("test_weave")[1]
    assert "ended without running `benchmark`" in notes.pop("test_forgets")[1]
    assert not notes
    pairs = json.loads(file.read_text())["pairs"]
    assert {len(pair["blocks"][named("test_total")]) for pair in pairs} == {7}
    assert {len(pair["blocks"][named("test_long")]) for pair in pairs if named("test_long") in pair["blocks"]} == {5}
    assert pairs[0]["iterations"][named("test_long")] == 1 < pairs[0]["iterations"][named("test_total")]
    again = subprocess.run(
        [sys.executable, "-m", "bench", "gate", "analyse", file], capture_output=True, text=True, check=False
    )
    assert again.returncode == 1
    assert again.stdout == done.stdout.rpartition("files: ")[0]
    assert f"--pytest {SUITE} --only" in done.stdout


@pytest.mark.slow
def test_one_test_is_chosen_by_its_name_brackets_and_all(repository):
    commit(repository, "nothing")
    done, file = gate(repository, "--only", named("test_size[10]"), "--confirm-pairs", "4")
    assert done.returncode in (0, 3), done.stdout + done.stderr
    assert list(verdicts(file)) == [named("test_size[10]")]
    pairs = json.loads(file.read_text())["pairs"]
    assert all(set(pair["blocks"]) == {"control", named("test_size[10]")} for pair in pairs)
    assert not (file.parent / "logs").exists(), "tests that pass leave no logs"


def test_a_side_that_dies_is_named_and_the_others_are_compared(repository):
    suite = TESTS.replace("ANSWER", "__import__('os')._exit(3)").replace("ONLY", "")
    few = ["--only", "*test_answer", "--only", "*test_decorator", "--confirm-pairs", "5"]
    write(repository, {f"{SUITE}/test_shapes.py": suite})
    done, file = gate(repository, *few)
    assert done.returncode == 2, "HEAD~1 is not there yet"
    commit(repository, "head")
    done, file = gate(repository, *few)
    assert done.returncode == 1, done.stdout + done.stderr
    found = verdicts(file)
    assert found[named("test_answer")].verdict == "failed"
    assert "exit code 3" in found[named("test_answer")].note
    assert found[named("test_decorator")].base_s


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        ({}, ["--pytest", "tests/nowhere"], "not in the head"),
        ({}, ["--only", "test_nothing"], "fits no benchmark"),
        ({"tests/other/test_plain.py": "def test_a(): pass\n"}, ["--pytest", "tests/other"], "no test there uses"),
        ({f"{SUITE}/conftest.py": "import nowhere_at_all\n"}, [], "No module named 'nowhere_at_all'"),
        ({"pyproject.toml": "[tool.pytest.ini_options]\naddopts = '--no-such-option'\n"}, [], "--no-such-option"),
        (
            {f"{SUITE}/conftest.py": "import sys\nsys.path.insert(0, {elsewhere!r})\nimport shapes\n"},
            [],
            "shapes was imported from",
        ),
    ],
)
def test_what_cannot_be_gated_is_one_line_and_exit_code_2(repository, tmp_path, files, arguments, message):
    write(tmp_path / "elsewhere", {"shapes/__init__.py": PACKAGE})
    write(repository, {name: text.format(elsewhere=str(tmp_path / "elsewhere")) for name, text in files.items()})
    commit(repository, "head")
    done, _ = gate(repository, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr.splitlines()[-1]
