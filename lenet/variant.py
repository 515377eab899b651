"""Every choice by name: what a network is (`Variant`), how it learns (`Recipe`), and the data sets' shapes.

Names and numbers go in; frozen, validated values come out, or a `ChoiceError` of one line. This module imports no
torch, so that the process that plans a sweep can check it without paying for it; `lenet.layers` and `lenet.initialize`
hold the functions behind the names.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class ChoiceError(ValueError):
    """A name or number that is not to be had. The message is one line: what, where, what would be right."""


CHOICES: dict[str, set[str]] = {
    "architecture": {"lenet"},
    "activation": {
        "relu", "leaky_relu", "elu", "gelu", "silu", "mish", "hardswish", "tanh", "scaled_tanh", "sigmoid",
    },
    "pooling": {"max", "avg", "lp2", "strided_conv", "subsampling"},
    "init": {
        "seed", "torch_default", "xavier_normal", "xavier_uniform", "kaiming_normal", "kaiming_uniform",
        "lecun_uniform", "orthogonal", "zeros", "uniform01",
    },
    "normalization": {"none", "batch"},
    "pool_position": {"after_activation", "before_activation"},
    "optimizer": {"sgd", "adam", "adamw"},
    "schedule": {"constant", "one_cycle", "cosine"},
}  # fmt: skip
"""The allowed names of each knob. The decorators of `lenet.layers` and `lenet.initialize` add a user's own."""


@dataclass(frozen=True)
class DataShape:
    """What is known of a data set before a byte of it is read: input channels, classes, pixels a side, image counts."""

    channels: int
    classes: int
    size: int
    train: int
    validation: int
    test: int


DATA_SETS: dict[str, DataShape] = {
    "digits": DataShape(channels=1, classes=10, size=8, train=1_257, validation=180, test=360),
    "mnist": DataShape(channels=1, classes=10, size=28, train=55_000, validation=5_000, test=10_000),
    "fashion_mnist": DataShape(channels=1, classes=10, size=28, train=55_000, validation=5_000, test=10_000),
    "cifar10": DataShape(channels=3, classes=10, size=32, train=45_000, validation=5_000, test=10_000),
    "usps": DataShape(channels=1, classes=10, size=16, train=6_562, validation=729, test=2_007),
}
"""The real data sets. `synthetic` has no entry: it takes the shape of the network that it is made for."""

SYNTHETIC_IMAGES = 2_048
MINIMUM_INPUT_SIZE = 16  # below it nothing is left after two 5x5 convolutions and two halvings


def nearest(name: str, allowed: Iterable[str]) -> str:
    """The hint that ends an error message: the closest right name if one is close, otherwise all of them."""
    names = sorted(allowed)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"one of: {', '.join(names)}"


def check_choice(knob: str, value: object, allowed: Iterable[str] | None = None) -> None:
    """Raises `ChoiceError` unless `value` is one of the names that `knob` takes."""
    names = set(CHOICES[knob] if allowed is None else allowed)
    if not isinstance(value, str) or value not in names:
        raise ChoiceError(f"{knob}: unknown value {value!r}; {nearest(str(value), names)}")


def check_number(knob: str, value: object, *, minimum: float, whole: bool = False, exclusive: bool = False) -> None:
    """Raises `ChoiceError` unless `value` is a finite number of at least (`exclusive`: above) `minimum`."""
    kind = "a whole number" if whole else "a number"
    right = not isinstance(value, bool) and isinstance(value, int if whole else (int, float))
    if right and isinstance(value, (int, float)):
        right = value - value == 0 and (value > minimum if exclusive else value >= minimum)
    if not right:
        raise ChoiceError(f"{knob}: {value!r} is not {kind} {'above' if exclusive else 'of at least'} {minimum:g}")


@dataclass(frozen=True)
class Variant:
    """One network. The defaults are the network of the reading note: LeNet with ReLU and max-pooling on 3x32x32.

    **Arguments:**

    - `architecture`: the network by name; `lenet` for now.
    - `activation`, `pooling`, `init`, `normalization`: names from `CHOICES`.
    - `pool_position`: `after_activation` as in the note, or `before_activation`.
    - `channels`, `classes`: of input and output. In a sweep they follow the data set.
    - `input_size`: pixels a side, at least 16.

    Raises `ChoiceError` for an unknown name or a number out of range.
    """

    architecture: str = "lenet"
    activation: str = "relu"
    pooling: str = "max"
    init: str = "seed"
    normalization: str = "none"
    pool_position: str = "after_activation"
    channels: int = 3
    classes: int = 10
    input_size: int = 32

    def __post_init__(self) -> None:
        for knob in ("architecture", "activation", "pooling", "init", "normalization", "pool_position"):
            check_choice(knob, getattr(self, knob))
        check_number("channels", self.channels, minimum=1, whole=True)
        check_number("classes", self.classes, minimum=2, whole=True)
        check_number("input_size", self.input_size, minimum=MINIMUM_INPUT_SIZE, whole=True)


@dataclass(frozen=True)
class Recipe:
    """How a variant learns.

    **Arguments:**

    - `data`: a data set by name, or `synthetic` (random images: such a trial is timed and not trained).
    - `batch_size`: images an update.
    - `epochs`: passes over the training set. `updates`, where it is above 0, replaces it: training ends after that many
      optimiser steps, so that batch sizes can be compared at equal work of the optimiser.
    - `optimizer`: `sgd` (with Nesterov momentum), `adam` or `adamw`.
    - `learning_rate`: the constant rate, or the peak of the schedule.
    - `momentum`: of SGD, in [0, 1); the adaptive optimisers leave it unused.
    - `schedule`: `constant`, `one_cycle` or `cosine` (to zero over the whole training).
    - `weight_decay`, `label_smoothing`: 0 is off.

    Raises `ChoiceError` for an unknown name or a number out of range.
    """

    data: str = "digits"
    batch_size: int = 64
    epochs: int = 20
    updates: int = 0
    optimizer: str = "sgd"
    learning_rate: float = 0.05
    momentum: float = 0.9
    schedule: str = "one_cycle"
    weight_decay: float = 0.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_choice("data", self.data, {*DATA_SETS, "synthetic"})
        check_choice("optimizer", self.optimizer)
        check_choice("schedule", self.schedule)
        check_number("batch_size", self.batch_size, minimum=1, whole=True)
        check_number("epochs", self.epochs, minimum=1, whole=True)
        check_number("updates", self.updates, minimum=0, whole=True)
        check_number("learning_rate", self.learning_rate, minimum=0, exclusive=True)
        for knob, value in (("momentum", self.momentum), ("label_smoothing", self.label_smoothing)):
            check_number(knob, value, minimum=0)
            if value >= 1:
                raise ChoiceError(f"{knob}: {value!r} is not below 1")
        check_number("weight_decay", self.weight_decay, minimum=0)
        available = self.train_images
        if self.batch_size > available:
            raise ChoiceError(
                f"batch_size: {self.batch_size} is larger than the {available} training images of '{self.data}'"
            )

    @property
    def train_images(self) -> int:
        """Images in the training split of this recipe's data set."""
        return DATA_SETS[self.data].train if self.data in DATA_SETS else SYNTHETIC_IMAGES

    @property
    def updates_per_epoch(self) -> int:
        """Optimiser steps in one pass; the last, smaller batch of a pass is dropped."""
        return self.train_images // self.batch_size

    @property
    def total_updates(self) -> int:
        """Optimiser steps of the whole training."""
        return self.updates or self.epochs * self.updates_per_epoch
