"""Errors for people: every class is a `UserError`, and the command line ends each, subclasses too, in one line."""

import importlib
import inspect
import sys

import pytest
from test_architecture import FILES

import bench.cli.main
from bench.compare.baseline import NoBaselineError
from bench.errors import ExperimentError, UserError
from lenet import ChoiceError
from lenet.files import DataError


def test_every_error_class_is_for_people():
    """Of the modules that import nothing heavy by being imported; a judged process's are not imported here."""
    found = set()
    for file in FILES:
        if not file.endswith(("_side.py", "__main__.py", "vision.py")):
            module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            for _, value in inspect.getmembers(importlib.import_module(module), inspect.isclass):
                if issubclass(value, Exception) and value.__module__.partition(".")[0] in ("bench", "lenet"):
                    found.add(value)
    assert {"ChoiceError", "DataError", "NoBaselineError", "RunGone", "RecordError"} <= {one.__name__ for one in found}
    assert [one for one in found if not issubclass(one, UserError)] == []


def test_errors_of_bad_values_are_value_errors_too():
    assert issubclass(ChoiceError, ValueError)
    assert issubclass(ExperimentError, ValueError)


@pytest.mark.parametrize("error", [DataError("x.gz: damaged"), NoBaselineError("none saved"), UserError("a\nb")])
def test_an_error_for_people_is_one_line_whatever_its_class(error, monkeypatch, capsys):
    def fail(**_):
        raise error

    monkeypatch.setattr(bench.cli.main, "app", fail)
    monkeypatch.setattr(sys, "argv", ["lenet-bench", "runs"])
    with pytest.raises(SystemExit) as ended:
        bench.cli.main.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"lenet-bench: {' '.join(str(error).split())}\n"
