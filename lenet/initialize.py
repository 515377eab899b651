"""Init schemes by name: the random values that a network's weights start from.

`initialize` fills the weights of a network in place, in the order of its modules, by a scheme out of `INITS`. Every
draw comes from the generator it is given, on the CPU in float32, so that one seed gives the same weights whatever
device the network moves to.

In the formulas F is a unit's fan-in and G its fan-out, biases not counted: for a k x k convolution, input (output) maps
times k * k. The schemes of LeCun et al. draw the weights of every kind of layer; the others draw those of convolutions
and linear layers, the only kinds that the networks which take them have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Generator, nn
from torch.nn import init as rules

from lenet.layers import LocalConv2d, PartialConv2d, Subsampling, register

Init = Callable[[nn.Module, Generator], None]

INITS: dict[str, Init] = {}
"""Functions that fill a tree of modules from a generator. They may count on zero biases (see `initialize`)."""


def init(name: str) -> Callable[[Init], Init]:
    """Decorates a function `(module, generator) -> None` as the init scheme `name`. Raises `ChoiceError` if taken."""
    return register(INITS, "init", name)


def initialize(module: nn.Module, scheme: str, generator: Generator) -> None:
    """Fills `module` by the scheme of that name.

    Before the scheme runs, biases are set to 0, normalisations to the identity (weight 1, bias 0) and trainable
    subsampling to the mean. A scheme that wants another start for them sets it.

    **Arguments:**

    - `module`: on the CPU, with float32 weights.
    - `scheme`: a name in `INITS`.
    - `generator`: a CPU generator; it is advanced.
    """
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm2d, Subsampling)):
            part.reset_parameters()
    for layer in layers(module):
        if layer.bias is not None:
            rules.zeros_(layer.bias)
    with torch.no_grad():
        INITS[scheme](module, generator)


def layers(module: nn.Module) -> Iterator[nn.Conv2d | nn.Linear]:
    """The convolutions and linear layers of a tree, in its order."""
    return (part for part in module.modules() if isinstance(part, (nn.Conv2d, nn.Linear)))


def fan_in(layer: nn.Conv2d | nn.Linear | LocalConv2d) -> int:
    """The number of inputs of each of the layer's units, the bias not counted."""
    unit_axes = 2 if isinstance(layer, LocalConv2d) else 1  # leading axes of `weight` that count units
    return math.prod(layer.weight.shape[unit_axes:])


@init("seed")
def seed_note(module: nn.Module, generator: Generator) -> None:
    """Convolutions N(0, 2 / (F + G)), linear layers N(0, 0.1^2), as `initialize_weights` of the reading note."""
    for layer in layers(module):
        if isinstance(layer, nn.Conv2d):
            rules.xavier_normal_(layer.weight, generator=generator)
        else:
            rules.normal_(layer.weight, 0.0, 0.1, generator=generator)


@init("torch_default")
def torch_default(module: nn.Module, generator: Generator) -> None:
    """Weights and biases U(-1 / sqrt(F), 1 / sqrt(F)): torch's own, drawn from the given generator."""
    for layer in layers(module):
        rules.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
        if layer.bias is not None:
            bound = 1 / math.sqrt(fan_in(layer))
            rules.uniform_(layer.bias, -bound, bound, generator=generator)


@init("xavier_normal")
def xavier_normal(module: nn.Module, generator: Generator) -> None:
    """N(0, 2 / (F + G)) (Glorot and Bengio 2010, eq. 12; gain 1)."""
    for layer in layers(module):
        rules.xavier_normal_(layer.weight, generator=generator)


@init("xavier_uniform")
def xavier_uniform(module: nn.Module, generator: Generator) -> None:
    """U(-b, b), b = sqrt(6 / (F + G)) (Glorot and Bengio 2010, eq. 16; gain 1)."""
    for layer in layers(module):
        rules.xavier_uniform_(layer.weight, generator=generator)


@init("kaiming_normal")
def kaiming_normal(module: nn.Module, generator: Generator) -> None:
    """N(0, 2 / F) (He et al. 2015, eq. 10)."""
    for layer in layers(module):
        rules.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)


@init("kaiming_uniform")
def kaiming_uniform(module: nn.Module, generator: Generator) -> None:
    """U(-b, b), b = sqrt(6 / F): the variance of He et al. 2015, eq. 10."""
    for layer in layers(module):
        rules.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)


@init("lecun_uniform")
def lecun_uniform(module: nn.Module, generator: Generator) -> None:
    """U(-2.4 / F, 2.4 / F) (LeCun et al. 1998, appendix A), biases too: there a bias is a weight like any other."""
    draw_by_fan_in(module, lambda inputs: 2.4 / inputs, generator)


@init("lecun_sqrt_uniform")
def lecun_sqrt_uniform(module: nn.Module, generator: Generator) -> None:
    """U(-2.4 / sqrt(F), 2.4 / sqrt(F)), biases too: the bound as Karpathy 2022 (lecun1989-repro) has it."""
    draw_by_fan_in(module, lambda inputs: 2.4 / math.sqrt(inputs), generator)


def draw_by_fan_in(module: nn.Module, bound: Callable[[int], float], generator: Generator) -> None:
    """Draws weights and biases of every layer from U(-b, b), b = bound(F) of the unit that they belong to.

    Biases of single units (`UnitBias`) stay 0, and trainable subsampling stays the mean.
    """
    for layer in module.modules():
        if isinstance(layer, PartialConv2d):
            draw_partial(layer, bound, generator)
        elif isinstance(layer, (nn.Conv2d, nn.Linear, LocalConv2d)):
            limit = bound(fan_in(layer))
            layer.weight.uniform_(-limit, limit, generator=generator)
            if layer.bias is not None:
                layer.bias.uniform_(-limit, limit, generator=generator)


def draw_partial(layer: PartialConv2d, bound: Callable[[int], float], generator: Generator) -> None:
    """As `draw_by_fan_in`, map by map: the maps of a partial convolution see different numbers of inputs."""
    area = layer.weight[0].numel()
    for number in range(layer.maps):
        links = layer.outputs == number
        count = int(links.sum())
        limit = bound(count * area)
        drawn = torch.empty(count, *layer.weight.shape[1:])
        layer.weight[links] = drawn.uniform_(-limit, limit, generator=generator)
        if layer.bias is not None:
            layer.bias[number : number + 1].uniform_(-limit, limit, generator=generator)


@init("orthogonal")
def orthogonal(module: nn.Module, generator: Generator) -> None:
    """A random matrix (units x F) with orthonormal rows or columns (Saxe et al. 2014, arXiv:1312.6120)."""
    for layer in layers(module):
        rules.orthogonal_(layer.weight, generator=generator)


@init("zeros")
def zeros(module: nn.Module, generator: Generator) -> None:
    """All weights 0: every unit of a layer gets the same gradient, which is 0 below the last. Must fail to learn."""
    for layer in layers(module):
        rules.zeros_(layer.weight)


@init("uniform01")
def uniform01(module: nn.Module, generator: Generator) -> None:
    """U[0, 1): all weights positive and far too large. Must fail to learn."""
    for layer in layers(module):
        rules.uniform_(layer.weight, 0.0, 1.0, generator=generator)
