"""A user's own module, built in this process from its factory's name."""

import pytest
import torch

from bench.measure.blocks import run_block, warm_up
from bench.measure.factory import build_from_factory, import_factory

MODULE = """
from torch import nn

def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))

def flatten():
    return nn.Flatten()
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "networks_of_mine.py"
    path.write_text(MODULE)
    return path


def test_a_factory_is_found_by_module_and_by_file(file):
    assert import_factory("torch.nn:Flatten") is torch.nn.Flatten
    assert import_factory(f"{file}:linear").__name__ == "linear"
    assert import_factory(f"{file}:linear") is import_factory(f"{file}:linear"), "a file is imported once"


def test_the_subject_runs_every_phase_and_its_weights_stay_put(file):
    subject = build_from_factory(f"{file}:linear", (8, 1, 4, 4), "cpu", 1)
    before = [weight.clone() for weight in subject.step.model.parameters()]
    warm_up(subject, ["forward", "backward", "step"], 0.001)
    for phase in ("forward", "backward", "step"):
        seconds, cpu_s = run_block(subject, phase, 2)
        assert seconds > 0
        assert cpu_s >= 0
    assert all(torch.equal(a, b) for a, b in zip(before, subject.step.model.parameters(), strict=True))
    assert subject.images.shape == (8, 1, 4, 4)
    assert int(subject.labels.max()) < 3


def test_the_same_batch_and_weights_in_every_process(file):
    first, second = (build_from_factory(f"{file}:linear", (8, 1, 4, 4), "cpu", 1) for _ in range(2))
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.labels, second.labels)
    pairs = zip(first.step.model.parameters(), second.step.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_module_without_weights_has_a_forward_pass(file):
    subject = build_from_factory(f"{file}:flatten", (8, 1, 4, 4), "cpu", 1)
    assert run_block(subject, "forward", 1)[0] > 0


def test_what_is_no_module_or_gives_no_classes_is_named(file):
    with pytest.raises(TypeError, match=r"makes a OrderedDict, not a torch\.nn\.Module"):
        build_from_factory("collections:OrderedDict", (8, 1, 4, 4), "cpu", 1)
    with pytest.raises(ValueError, match=r"output is of shape \(8, 1, 4, 4\), not \(images, classes\)"):
        build_from_factory("torch.nn:Identity", (8, 1, 4, 4), "cpu", 1)
