"""Trials: keys, knobs, and what follows the data set."""

import dataclasses
import json
import subprocess
import sys

import pytest

from bench.experiment.trial import KNOBS, PHASES, SECTIONS, Placement, Trial
from lenet.variant import ChoiceError


def test_every_knob_has_one_section():
    fields = [f.name for cls in SECTIONS.values() for f in dataclasses.fields(cls)]
    assert len(fields) == len(set(fields)) == len(KNOBS)


def test_a_trial_survives_json():
    trial = Trial.from_knobs({"activation": "gelu", "batch_size": 32, "threads": 2})
    assert Trial.from_dict(json.loads(json.dumps(trial.to_dict()))) == trial


def test_the_knobs_of_a_trial_are_flat_and_make_it_again():
    trial = Trial.from_knobs({"activation": "gelu", "threads": 2})
    assert trial.knobs().keys() == KNOBS.keys()
    assert trial.knobs()["threads"] == 2
    assert Trial.from_knobs(trial.knobs()) == trial


def test_the_phases():
    assert PHASES == ("forward", "backward", "step")


def test_the_key_is_the_same_in_another_process():
    script = "from bench.experiment.trial import Trial; print(Trial.from_knobs({'pooling': 'avg'}).key)"
    key = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    assert key == Trial.from_knobs({"pooling": "avg"}).key


@pytest.mark.parametrize("knob", [k for k in KNOBS if k not in ("architecture", "channels", "classes", "backend")])
def test_every_knob_changes_the_key(knob):
    other = {
        "activation": "tanh", "pooling": "avg", "init": "zeros", "normalization": "batch",
        "pool_position": "before_activation", "input_size": 28, "data": "usps", "batch_size": 7, "epochs": 3,
        "updates": 9,
        "optimizer": "adam", "learning_rate": 0.5, "momentum": 0.5, "schedule": "cosine", "weight_decay": 0.1,
        "label_smoothing": 0.1, "device": "cuda", "threads": 2, "dtype": "bfloat16", "memory_format": "channels_last",
        "output": "logits", "dropout": 0.5, "loss": "mse", "scaling": "signed", "fitting": "digit16",
        "selection": "last", "augmentation": "shift1",
    }  # fmt: skip
    # Two of them mean something only beside others.
    base = {"output": {"architecture": "mlp300"}, "fitting": {"data": "usps"}}.get(knob, {})
    assert Trial.from_knobs({**base, knob: other[knob]}).key != Trial.from_knobs(base).key


def test_channels_and_classes_follow_the_data_set():
    assert Trial.from_knobs({"data": "cifar10"}).variant.channels == 3
    assert Trial.from_knobs({"data": "mnist"}).variant.channels == 1
    assert Trial.from_knobs({"data": "synthetic", "channels": 2, "classes": 7}).variant.classes == 7
    with pytest.raises(ChoiceError, match="'mnist' has 1; leave channels out"):
        Trial.from_knobs({"data": "mnist", "channels": 3})


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"activatoin": "relu"}, "unknown knob 'activatoin'; did you mean 'activation'?"),
        ({"device": "gpu"}, "device: unknown value 'gpu'; did you mean 'cpu'?"),
        ({"threads": 0}, "threads: 0 is not a whole number of at least 1"),
        ({"backend": "cuda_graph"}, "needs device = 'cuda'"),
        ({"dtype": "float16"}, "did you mean 'bfloat16'?"),
    ],
)
def test_what_cannot_run_is_refused_in_one_line(knobs, message):
    with pytest.raises(ChoiceError) as error:
        Trial.from_knobs(knobs)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_cuda_graph_is_allowed_on_cuda():
    assert Placement(device="cuda", backend="cuda_graph").backend == "cuda_graph"
