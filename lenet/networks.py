"""LeNet in all its variants, and what it costs.

A `Variant` and a seed go in; a network with its weights filled comes out, and its parameters and multiply-accumulates
layer by layer. Nothing here trains or times.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor, nn

from lenet.initialize import initialize
from lenet.layers import ACTIVATIONS, POOLINGS
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
        features = self.activation3(self.fc1(maps.flatten(1)))
        features = self.activation4(self.fc2(features))
        logits: Tensor = self.fc3(features)
        return logits


def build(variant: Variant, seed: int) -> LeNet:
    """The variant's network on the CPU, in training mode, its weights drawn from `seed` alone."""
    return LeNet(variant, torch.Generator().manual_seed(seed))


@torch.no_grad()
def count(model: nn.Module, input_shape: tuple[int, int, int]) -> dict[str, Any]:
    """Parameters and multiply-accumulates of one image's forward pass, found by running one.

    Multiply-accumulates are those of convolutions and linear layers, biases not counted; the arithmetic of poolings
    and activations is left out, as is usual.

    **Arguments:**

    - `model`: any tree of modules on the CPU. It is run in evaluation mode and left as it was.
    - `input_shape`: channels, height, width.

    **Returns:** `parameters`, `macs`, and `layers`: `name`, `parameters`, `macs` of each part with parameters.
    """
    macs: dict[nn.Module, int] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            macs[layer] = output[0].numel() * layer.weight[0].numel()

    parts = {name: part for name, part in model.named_modules() if any(True for _ in part.parameters(recurse=False))}
    hooks = [part.register_forward_hook(note) for part in parts.values()]
    training = model.training
    try:
        model.eval()(torch.zeros(1, *input_shape))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    layers = [
        {"name": name, "parameters": sum(p.numel() for p in part.parameters(recurse=False)), "macs": macs.get(part, 0)}
        for name, part in parts.items()
    ]
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "macs": sum(macs.values()),
        "layers": layers,
    }
