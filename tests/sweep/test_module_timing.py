"""How a factory is named for another process. That it is timed there is tested through the door, tests/test_api.py."""

import subprocess
import sys

import pytest

from bench.errors import BadInputError
from bench.sweep.module_timing import name_factory


def make():
    """A factory of a module that is not `__main__`."""


def test_names_stay_and_files_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert name_factory("torch.nn:Flatten") == "torch.nn:Flatten"
    assert name_factory("mine.py:make") == f"{tmp_path.resolve()}/mine.py:make"


def test_a_function_is_named_by_its_module():
    assert name_factory(make) == f"{make.__module__}:make"


@pytest.mark.parametrize("factory", ["make", ":make", "package:", lambda: None, object(), str.upper])
def test_what_no_process_could_import_is_refused(factory):
    with pytest.raises(BadInputError, match=r"factory"):
        name_factory(factory)


def test_a_function_of_a_script_is_named_by_the_script_s_file(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from bench.sweep.module_timing import name_factory\ndef make(): ...\nprint(name_factory(make))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{script.resolve()}:make"


def test_a_function_of_a_notebook_is_refused_with_the_way_out():
    script = "from bench.sweep.module_timing import name_factory\ndef make(): ...\nname_factory(make)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "defined in a notebook, which no other process can import; write it into a file" in done.stderr
