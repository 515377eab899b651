"""A user's own modules: imported once each, by name or by file, and whatever Python may stand in them."""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from lenet.extensions import load_extensions
from lenet.layers import ACTIVATIONS
from lenet.variant import CHOICES, ChoiceError, Variant

LAYER = """
    from lenet.layers import activation
    from torch import nn

    @activation("{name}")
    def make():
        return nn.ReLU()
"""


@pytest.fixture(autouse=True)
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs in an empty folder, and takes back what a test registers and imports."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    modules, built_in = set(sys.modules), dict(ACTIVATIONS)
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    for name in set(ACTIVATIONS) - set(built_in):
        del ACTIVATIONS[name]
        CHOICES["activation"].discard(name)


def write(path: str, content: str) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(textwrap.dedent(content))
    return path


def test_what_a_file_or_a_module_registers_can_be_asked_for() -> None:
    write("my_package/layers.py", LAYER.format(name="by_module"))
    load_extensions([write("mine.py", LAYER.format(name="by_file")), "my_package.layers"])
    assert {"by_file", "by_module"} <= CHOICES["activation"]
    assert Variant(activation="by_file").activation == "by_file"


def test_a_file_is_imported_once_however_its_path_is_spelled() -> None:
    write("mine.py", LAYER.format(name="once"))  # a second import would find the name taken
    load_extensions(["mine.py", "./mine.py", str(Path("mine.py").resolve())])
    load_extensions(["mine.py"])
    assert "once" in ACTIVATIONS


def test_two_files_of_one_name_are_both_imported() -> None:
    load_extensions([write("a/mine.py", LAYER.format(name="first")), write("b/mine.py", LAYER.format(name="second"))])
    assert {"first", "second"} <= set(ACTIVATIONS)


def test_a_dataclass_with_postponed_annotations_works_in_a_file() -> None:
    content = """
        from __future__ import annotations
        from dataclasses import dataclass

        @dataclass
        class Settings:
            slope: float = 0.1
    """
    load_extensions([write("mine.py", content)])


def test_a_built_in_name_is_refused() -> None:
    with pytest.raises(ChoiceError, match="activation: 'relu' is taken already"):
        load_extensions([write("mine.py", LAYER.format(name="relu"))])


def test_a_file_that_failed_is_not_taken_for_imported() -> None:
    write("mine.py", "1 / 0")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            load_extensions(["mine.py"])


def test_what_is_missing_raises() -> None:
    with pytest.raises(FileNotFoundError, match=r"missing\.py"):
        load_extensions(["missing.py"])
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        load_extensions(["no_such_module"])
