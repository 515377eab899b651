"""Errors of lenet: each is a `UserError`, is caught as what it was before, and keeps its line between processes."""

import pickle

import pytest

from lenet.errors import UserError
from lenet.files import DataError, read
from lenet.variant import ChoiceError, Variant


def test_what_lenet_refuses_is_an_error_of_the_user(tmp_path):
    with pytest.raises(UserError, match="activation: unknown value 'rellu'"):
        Variant(activation="rellu")
    with pytest.raises(UserError, match="mnist is not in"):
        read("mnist", tmp_path)


def test_a_wrong_choice_is_still_a_value_error():
    with pytest.raises(ValueError, match="classes"):
        Variant(classes=1)


@pytest.mark.parametrize("kind", [UserError, ChoiceError, DataError])
def test_an_error_keeps_its_class_and_its_line_on_the_way_between_processes(kind):
    error = pickle.loads(pickle.dumps(kind("init: no such scheme")))
    assert type(error) is kind
    assert str(error) == "init: no such scheme"
