"""Every choice by name: what a network is (`Variant`), how it learns (`Recipe`), and the data sets' shapes.

`Variant` and `Recipe` are frozen and check their values when they are made: what is not to be had raises a
`ChoiceError` of one line. This module imports no torch, whose import takes seconds, so that a process which only plans
a sweep can check it. `lenet.layers` and `lenet.initialize` hold the functions behind the names.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lenet.architectures import ARCHITECTURES
from lenet.errors import UserError


class ChoiceError(UserError, ValueError):
    """A name or number that is not to be had. The message is one line: what, where, what would be right."""


CHOICES: dict[str, set[str]] = {
    "architecture": set(ARCHITECTURES),
    "activation": {
        "relu", "leaky_relu", "elu", "gelu", "silu", "mish", "hardswish", "tanh", "scaled_tanh", "sigmoid",
    },
    "pooling": {"max", "avg", "lp2", "strided_conv", "subsampling"},
    "init": {
        "seed", "torch_default", "xavier_normal", "xavier_uniform", "kaiming_normal", "kaiming_uniform",
        "lecun_uniform", "lecun_sqrt_uniform", "orthogonal", "zeros", "uniform01",
    },
    "normalization": {"none", "batch"},
    "pool_position": {"after_activation", "before_activation"},
    "output": {"logits", "scaled_tanh", "rbf"},
    "optimizer": {"sgd", "adam", "adamw", "sdlm"},
    "schedule": {"constant", "one_cycle", "cosine", "steps1998"},
    "loss": {"cross_entropy", "mse", "penalty", "discriminative"},
    "scaling": {"standard", "signed", "lecun1998"},
    "fitting": {"auto", "digit16"},
    "selection": {"validation", "last"},
    "augmentation": {"none", "shift1", "affine1998"},
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
    "usps480": DataShape(channels=1, classes=10, size=16, train=320, validation=0, test=160),
}
"""The real data sets. `usps480` is 480 of the 9,298 zip code digits, drawn, moved sideways and split anew for each
seed. `synthetic` has no entry: it takes the shape of the network that it is made for."""

SYNTHETIC_IMAGES = 2_048
LOSSES = {
    "logits": ("cross_entropy", "mse"),
    "scaled_tanh": ("mse",),
    "rbf": ("discriminative", "penalty"),
}
"""The losses that each kind of output can be trained with, the default first."""

SURENESS = ("margin", "confidence")
"""How sure a network is of an answer: the best score less the second, and the softmax of the best."""

MINIMUM_INPUT_SIZE = 16  # below it nothing is left after two 5x5 convolutions and two halvings


def nearest(name: str, allowed: Iterable[str]) -> str:
    """The hint that ends an error message: the closest right name if one is close, otherwise all of them."""
    names = sorted(allowed)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"one of: {', '.join(names)}"


def check_choice(knob: str, value: object, allowed: Iterable[str] | None = None) -> None:
    """Raises `ChoiceError` unless `value` is one of the names that `knob` takes (`allowed`, else `CHOICES[knob]`)."""
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


def check_share(knob: str, value: float) -> None:
    """Raises `ChoiceError` unless `value` is a number in [0, 1)."""
    check_number(knob, value, minimum=0)
    if value >= 1:
        raise ChoiceError(f"{knob}: {value!r} is not below 1")


@dataclass(frozen=True)
class Variant:
    """One network. The defaults are the network of the reading note: LeNet with ReLU and max-pooling on 3x32x32.

    **Arguments:**

    - `architecture`: the network by name. What the others below may be depends on it (`lenet.architectures`); `make`
      fills in its own defaults.
    - `activation`, `pooling`, `init`, `normalization`: names from `CHOICES`, or `none` where the architecture has no
      such layer.
    - `pool_position`: `after_activation` as in the note, or `before_activation`.
    - `output`: `logits`; `scaled_tanh`, squashed as before 1998; or `rbf`, squared distances from fixed codes.
    - `dropout`: the share of features dropped in training, before the layer with the most weights; in [0, 1).
    - `channels`, `classes`: of input and output. In a sweep they follow the data set.
    - `input_size`: pixels a side, at least 16.

    Raises `ChoiceError` for an unknown name, a number out of range, or what the architecture does not take.
    """

    architecture: str = "lenet"
    activation: str = "relu"
    pooling: str = "max"
    init: str = "seed"
    normalization: str = "none"
    pool_position: str = "after_activation"
    output: str = "logits"
    dropout: float = 0.0
    channels: int = 3
    classes: int = 10
    input_size: int = 32

    def __post_init__(self) -> None:
        check_choice("architecture", self.architecture)
        architecture = ARCHITECTURES[self.architecture]
        for knob in ("activation", "pooling", "init", "normalization", "pool_position", "output"):
            if knob not in architecture.limits:
                check_choice(knob, getattr(self, knob))
        check_number("channels", self.channels, minimum=1, whole=True)
        check_number("classes", self.classes, minimum=2, whole=True)
        check_number("input_size", self.input_size, minimum=MINIMUM_INPUT_SIZE, whole=True)
        check_share("dropout", self.dropout)
        for knob, allowed in architecture.limits.items():
            if getattr(self, knob) not in allowed:
                listed = ", ".join(repr(value) for value in allowed)
                raise ChoiceError(f"{knob}: '{self.architecture}' takes {listed}, not {getattr(self, knob)!r}")
        needed = architecture.input_size
        if needed is not None and self.input_size != needed:
            raise ChoiceError(f"input_size: '{self.architecture}' needs {needed}, not {self.input_size}")

    @classmethod
    def make(cls, architecture: str = "lenet", **knobs: Any) -> Variant:
        """A variant whose knobs that are not given are the architecture's own. Raises `ChoiceError` as above."""
        check_choice("architecture", architecture)
        described = ARCHITECTURES[architecture]
        for field in dataclasses.fields(cls):
            if field.name not in ("architecture", "input_size"):
                knobs.setdefault(field.name, described.default(field.name, getattr(cls, field.name)))
        size = described.input_size or described.defaults.get("input_size", cls.input_size)
        return cls(architecture=architecture, **{"input_size": size, **knobs})

    @property
    def is_network(self) -> bool:
        """Whether it has a training step; False for the methods of scikit-learn."""
        return ARCHITECTURES[self.architecture].is_network


def check_loss(variant: Variant, recipe: Recipe) -> None:
    """Raises `ChoiceError` if the network's output cannot be trained with the recipe's loss."""
    if recipe.loss not in LOSSES[variant.output]:
        listed = ", ".join(LOSSES[variant.output])
        raise ChoiceError(
            f"loss: '{variant.architecture}' with output '{variant.output}' takes {listed}, not '{recipe.loss}'"
        )


@dataclass(frozen=True)
class Recipe:
    """How a variant learns.

    **Arguments:**

    - `data`: a data set by name, or `synthetic` (random images: such a trial is timed and not trained).
    - `batch_size`: images an update.
    - `epochs`: passes over the training set. `updates`, where it is above 0, replaces it: training ends after that many
      optimiser steps, so that batch sizes can be compared at equal work of the optimiser.
    - `optimizer`: `sgd` (with Nesterov momentum), `adam`, `adamw`, or `sdlm` (stochastic diagonal Levenberg-Marquardt,
      `lenet.sdlm`).
    - `learning_rate`: the constant rate, or the peak of the schedule; of `sdlm` the global rate of one pattern.
    - `momentum`: of SGD, in [0, 1); the others leave it unused.
    - `schedule`: `constant`, `one_cycle`, `cosine` (to zero over the whole training) or `steps1998` (LeNet-5's).
    - `weight_decay`, `label_smoothing`: 0 is off.
    - `loss`: what is minimised (`lenet.losses`); the network's output must allow it (`LOSSES`).
    - `scaling`: of the pixels: `standard` (mean 0, deviation 1), `signed` (-1 to 1) or `lecun1998` (-0.1 to 1.175).
    - `fitting`: of images to the input: `auto`, or `digit16` (digits of 16 pixels in a frame, as in 1990).
    - `selection`: `validation` chooses the best epoch on images held back; `last` learns from them too and takes the
      last epoch, as was done before 2000.
    - `augmentation`: `none`, `shift1` (up to a pixel in each direction) or `affine1998`, anew for each image shown.

    Raises `ChoiceError` for an unknown name, a number out of range, or a combination that cannot be.
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
    loss: str = "cross_entropy"
    scaling: str = "standard"
    fitting: str = "auto"
    selection: str = "validation"
    augmentation: str = "none"

    def __post_init__(self) -> None:
        check_choice("data", self.data, {*DATA_SETS, "synthetic"})
        for knob in ("optimizer", "schedule", "loss", "scaling", "fitting", "selection", "augmentation"):
            check_choice(knob, getattr(self, knob))
        check_number("batch_size", self.batch_size, minimum=1, whole=True)
        check_number("epochs", self.epochs, minimum=1, whole=True)
        check_number("updates", self.updates, minimum=0, whole=True)
        check_number("learning_rate", self.learning_rate, minimum=0, exclusive=True)
        check_share("momentum", self.momentum)
        check_share("label_smoothing", self.label_smoothing)
        check_number("weight_decay", self.weight_decay, minimum=0)
        if self.optimizer == "sdlm" and self.weight_decay:
            raise ChoiceError("weight_decay: 'sdlm' takes none; leave weight_decay out")
        if self.label_smoothing and self.loss != "cross_entropy":
            raise ChoiceError(f"label_smoothing: goes with loss = 'cross_entropy', not with '{self.loss}'")
        if self.selection == "validation" and self.data in DATA_SETS and not DATA_SETS[self.data].validation:
            raise ChoiceError(f"selection: '{self.data}' has no validation images; take selection = 'last'")
        if self.fitting == "digit16" and self.data not in ("mnist", "usps", "usps480"):
            raise ChoiceError(f"fitting: 'digit16' is for mnist and usps, not for '{self.data}'")
        available = self.train_images
        if self.batch_size > available:
            raise ChoiceError(
                f"batch_size: {self.batch_size} is larger than the {available} training images of '{self.data}'"
            )

    @property
    def train_images(self) -> int:
        """Images that this recipe learns from."""
        if self.data not in DATA_SETS:
            return SYNTHETIC_IMAGES
        shape = DATA_SETS[self.data]
        return shape.train + (shape.validation if self.selection == "last" else 0)

    @property
    def updates_per_epoch(self) -> int:
        """Optimiser steps in one pass; the last, smaller batch of a pass is dropped."""
        return self.train_images // self.batch_size

    @property
    def total_updates(self) -> int:
        """Optimiser steps of the whole training."""
        return self.updates or self.epochs * self.updates_per_epoch


@dataclass(frozen=True)
class Form:
    """How a data set is brought into form: the knobs of a recipe that its arrays depend on, and the input's size.

    **Arguments:**

    - `input_size`: pixels a side of the network's input.
    - `scaling`, `fitting`: as in `Recipe`. `validation`: whether images are held back.
    - `draw`: which 480 digits `usps480` holds; the others ignore it.
    """

    input_size: int
    scaling: str = "standard"
    fitting: str = "auto"
    validation: bool = True
    draw: int = 0

    @classmethod
    def of(cls, recipe: Recipe, input_size: int, draw: int = 0) -> Form:
        """What a recipe asks for."""
        return cls(input_size, recipe.scaling, recipe.fitting, recipe.selection == "validation", draw)
