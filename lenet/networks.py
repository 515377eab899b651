"""LeNet in all its variants, and what a network costs.

`build` makes the network of a `Variant`, its weights drawn from a seed. `count` gives a network's parameters,
multiply-accumulates and connections, layer by layer. Nothing here trains or times.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor, nn

from lenet.classic import build_classic
from lenet.initialize import initialize
from lenet.layers import (
    ACTIVATIONS,
    POOLINGS,
    LocalConv2d,
    PartialConv2d,
    SquaredDistance,
    Subsampling,
    UnitBias,
)
from lenet.variant import Variant

SEED_NETWORK = Variant()
"""The network of the reading note: 3x32x32 in, ReLU, max-pooling, 10 classes."""


class LeNet(nn.Module):
    """Two 5x5 convolutions (6 and 16 maps), each halved by a pooling, then linear layers of 120, 84 and the classes.

    With the defaults it is the network of the reading note, a modern form of LeNet-5 (LeCun et al. 1998, section II.B):
    ReLU, max-pooling, full connections, logits. Its state dict then has the keys `conv1`, `conv2`, `fc1`, `fc2`, `fc3`
    (`.weight`, `.bias`) and no others; normalisation and learnable pooling add `norm1`, `norm2`, `pool1`, `pool2`.

    **Arguments:**

    - `variant`: which LeNet.
    - `generator`: a CPU generator that the init scheme draws from; torch's own if None.
    """

    def __init__(self, variant: Variant = SEED_NETWORK, generator: Generator | None = None) -> None:
        super().__init__()
        self.variant = variant
        batch_norm = variant.normalization == "batch"
        side = ((variant.input_size - 4) // 2 - 4) // 2
        make_activation, make_pooling = ACTIVATIONS[variant.activation], POOLINGS[variant.pooling]
        self.conv1 = nn.Conv2d(variant.channels, 6, 5)
        self.norm1 = nn.BatchNorm2d(6) if batch_norm else nn.Identity()
        self.activation1, self.pool1 = make_activation(), make_pooling(6)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.norm2 = nn.BatchNorm2d(16) if batch_norm else nn.Identity()
        self.activation2, self.pool2 = make_activation(), make_pooling(16)
        self.dropout = nn.Dropout(variant.dropout) if variant.dropout else nn.Identity()
        self.fc1 = nn.Linear(16 * side * side, 120)
        self.activation3 = make_activation()
        self.fc2 = nn.Linear(120, 84)
        self.activation4 = make_activation()
        self.fc3 = nn.Linear(84, variant.classes)
        initialize(self, variant.init, torch.default_generator if generator is None else generator)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, channels, input_size, input_size), float, to logits (N, classes)."""
        if self.variant.pool_position == "before_activation":
            maps = self.activation1(self.pool1(self.norm1(self.conv1(images))))
            maps = self.activation2(self.pool2(self.norm2(self.conv2(maps))))
        else:
            maps = self.pool1(self.activation1(self.norm1(self.conv1(images))))
            maps = self.pool2(self.activation2(self.norm2(self.conv2(maps))))
        features = self.activation3(self.fc1(self.dropout(maps.flatten(1))))
        features = self.activation4(self.fc2(features))
        logits: Tensor = self.fc3(features)
        return logits

    def chain(self) -> list[nn.Module]:
        """The layers in the order that `forward` applies them."""
        maps = [
            [self.conv1, self.norm1, self.activation1, self.pool1],
            [self.conv2, self.norm2, self.activation2, self.pool2],
        ]
        if self.variant.pool_position == "before_activation":
            maps = [[conv, norm, pool, activation] for conv, norm, activation, pool in maps]
        linear = [self.fc1, self.activation3, self.fc2, self.activation4, self.fc3]
        return [*maps[0], *maps[1], nn.Flatten(), self.dropout, *linear]


def build(variant: Variant, seed: int) -> nn.Module:
    """The variant's network on the CPU, in training mode, its weights drawn from `seed` alone."""
    generator = torch.Generator().manual_seed(seed)
    return LeNet(variant, generator) if variant.architecture == "lenet" else build_classic(variant, generator)


def cost_of(layer: nn.Module, output: Tensor) -> tuple[int, int]:
    """Multiply-accumulates and connections of a layer for one image, the layer's output given (N, ...).

    Connections are counted as in the papers: every weight times the units that use it, biases included; LeNet's
    trainable subsampling has four inputs and a bias a unit, a squared distance no bias. Layers without weights: 0, 0.
    """
    units = output[0].numel()
    if isinstance(layer, (nn.Conv2d, nn.Linear)):
        macs = units * layer.weight[0].numel()
        return macs, macs + (units if layer.bias is not None else 0)
    if isinstance(layer, PartialConv2d):
        macs = layer.weight.numel() * output[0, 0].numel()
        return macs, macs + (units if layer.bias is not None else 0)
    if isinstance(layer, LocalConv2d):
        return layer.weight.numel(), layer.weight.numel() + units
    if isinstance(layer, SquaredDistance):
        return layer.centres.numel(), layer.centres.numel()
    if isinstance(layer, Subsampling):
        return 0, 5 * units
    return 0, units if isinstance(layer, UnitBias) else 0


@torch.no_grad()
def count(model: nn.Module, input_shape: tuple[int, int, int]) -> dict[str, Any]:
    """Parameters, multiply-accumulates, connections and units of one image's forward pass, found by running one.

    Multiply-accumulates are those of convolutions, linear layers and distances, biases not counted; the arithmetic of
    poolings and activations is left out, as is usual. Units are the inputs and the outputs of every layer with weights
    or fixed centres.

    **Arguments:**

    - `model`: any tree of modules on the CPU. It is run in evaluation mode and left as it was.
    - `input_shape`: channels, height, width.

    **Returns:** `parameters`, `macs`, `connections`, `units`, and `layers`: `name`, `parameters`, `macs`,
    `connections` of each part with parameters or centres.
    """
    costs: dict[nn.Module, tuple[int, int]] = {}
    units: dict[nn.Module, int] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        costs[layer] = cost_of(layer, output)
        units[layer] = 0 if isinstance(layer, UnitBias) else output[0].numel()  # its units are the layer's before it

    def has_weights(part: nn.Module) -> bool:
        return isinstance(part, SquaredDistance) or any(True for _ in part.parameters(recurse=False))

    parts = {name: part for name, part in model.named_modules() if has_weights(part)}
    hooks = [part.register_forward_hook(note) for part in parts.values()]
    training = model.training
    try:
        model.eval()(torch.zeros(1, *input_shape))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    layers = [
        {
            "name": name,
            "parameters": sum(p.numel() for p in part.parameters(recurse=False)),
            "macs": costs[part][0],
            "connections": costs[part][1],
        }
        for name, part in parts.items()
    ]
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "macs": sum(layer["macs"] for layer in layers),
        "connections": sum(layer["connections"] for layer in layers),
        "units": math.prod(input_shape) + sum(units.values()),
        "layers": layers,
    }
