"""The list of architectures: what it promises of each, by itself and against the choices of `lenet.variant`."""

import subprocess
import sys

import pytest

from lenet.architectures import ARCHITECTURES, Architecture
from lenet.classic import NETWORKS
from lenet.variant import CHOICES, Variant

NONE_TOO = ("activation", "pooling", "init")  # knobs that an architecture may have no layer for


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_names_its_source_and_accepts_its_own_defaults(name: str) -> None:
    described = ARCHITECTURES[name]
    assert described.source
    variant = Variant.make(name)
    assert described.input_size in (None, variant.input_size)
    for knob, value in described.defaults.items():
        assert getattr(variant, knob) == value


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_limits_and_defaults_are_names_that_exist(name: str) -> None:
    described = ARCHITECTURES[name]
    for knob, values in [*described.limits.items(), *((k, (v,)) for k, v in described.defaults.items())]:
        assert values
        if knob in CHOICES:
            known = CHOICES[knob] | ({"none"} if knob in NONE_TOO else set())
            assert {str(value) for value in values} <= known
        else:
            assert knob in ("dropout", "classes", "input_size")


def test_every_network_of_the_list_can_be_built_and_no_other() -> None:
    assert {name for name, made in ARCHITECTURES.items() if made.is_network} == {"lenet", *NETWORKS}


def test_a_default_is_the_architectures_own_then_its_first_limit_then_the_common_one() -> None:
    described = Architecture(
        "a paper", limits={"init": ("zeros", "seed"), "pooling": ("max",)}, defaults={"init": "seed"}
    )
    assert [described.default(knob, "other") for knob in ("init", "pooling", "output")] == ["seed", "max", "other"]


def test_the_list_needs_nothing_but_python() -> None:
    code = "import sys, lenet.architectures; sys.exit(any(name in sys.modules for name in ('torch', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
