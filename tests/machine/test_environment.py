"""How children of our own are started: what they import, and their environment variables."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from bench.machine import environment
from bench.machine.environment import child_environment, python_command, worker_environment

ROOT = Path(__file__).parents[2]
WHERE = """
import subprocess, sys
sys.path.insert(0, sys.argv[1])
from bench.machine.environment import child_environment, python_command
done = subprocess.run(python_command("bench.found"), env=child_environment(), capture_output=True, text=True)
print(done.stdout or done.stderr)
"""


def test_a_workers_environment_is_pinned_and_keeps_the_rest(monkeypatch):
    monkeypatch.setenv("SOMETHING_ELSE", "kept")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    variables = worker_environment(3)
    assert variables["SOMETHING_ELSE"] == "kept"
    assert {variables[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} == {"3"}
    assert int(variables["MALLOC_MMAP_THRESHOLD_"]) > 1 << 30
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_a_child_imports_the_package_that_runs_here_although_it_is_not_installed(tmp_path):
    """Another copy than the installed one, with a module that only it has."""
    copy = tmp_path / "copy"
    (copy / "bench" / "machine").mkdir(parents=True)
    for file in ("__init__.py", "machine/__init__.py", "machine/environment.py"):
        (copy / "bench" / file).write_text((ROOT / "bench" / file).read_text())
    (copy / "bench" / "found.py").write_text("print(__file__)")
    command = [sys.executable, "-P", "-c", WHERE, str(copy)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == str(copy / "bench" / "found.py")


def test_what_the_current_folder_holds_is_not_imported(tmp_path):
    (tmp_path / "statistics.py").write_text("raise SystemExit('the wrong one')")
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    command = python_command("bench.sweep.worker")
    done = subprocess.run(
        command, input='{"kind": "probe"}\n', cwd=tmp_path, env=child_environment(), capture_output=True, text=True,
        check=True, timeout=300,
    )  # fmt: skip
    assert done.stdout.startswith('{"kind": "probe"')


def test_the_users_own_paths_come_after_ours(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert child_environment()["PYTHONPATH"] == os.pathsep.join([str(ROOT), "/elsewhere"])
    monkeypatch.delenv("PYTHONPATH")
    assert child_environment()["PYTHONPATH"] == str(ROOT)


@pytest.mark.parametrize("scheme", ["purelib", "platlib"])
def test_an_installed_package_needs_no_path(monkeypatch, scheme):
    """With all of site-packages in front, a package there could hide a module of the standard library."""
    monkeypatch.setattr(environment, "PACKAGE_FOLDER", Path(sysconfig.get_path(scheme)).resolve())
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert child_environment() == dict(os.environ)
