"""The historic networks, 1989 to 1998, and the few that later papers compared them with.

`build_classic` builds the network of a `Variant` with its weights drawn. Every network is a chain of layers, an
`nn.Sequential`, so that `lenet.sdlm` can carry second derivatives back through it. Where a paper leaves something open,
`lenet.architectures` says what was chosen.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Generator, nn

from lenet.initialize import initialize
from lenet.layers import (
    ACTIVATIONS,
    POOLINGS,
    LocalConv2d,
    PartialConv2d,
    ScaledTanh,
    SquaredDistance,
    UnitBias,
)
from lenet.variant import Variant

Layers = list[tuple[str, nn.Module]]

BACKGROUND = -1.0  # what a window sees beyond the image's edge (LeCun et al. 1989)

H3_OF_1990 = [[0], [1], [0, 1], [0, 1], [0, 1], [0, 1], [2], [3], [2, 3], [2, 3], [2, 3], [2, 3]]
"""Which of LeNet-1's 4 maps each of its 12 sees: 1-6 the first two, 7-12 the last two, 20 links (1990, table 1)."""

H2_OF_1989 = [[(first + step) % 12 for step in range(8)] for first in range(12)]
"""8 of 12 maps each, shifted by one from map to map, so that each H1 map feeds 8 as well. Our choice."""

C3_OF_LENET4 = [[seen for seen in range(4) if seen != number % 4] for number in range(16)]
"""3 of 4 maps each. Our choice."""

C3_OF_1998 = [
    [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [0, 4, 5], [0, 1, 5], [0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5],
    [0, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 5], [0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5], [0, 1, 2, 3, 4, 5],
]  # fmt: skip
"""Which of LeNet-5's 6 maps each of its 16 sees (1998, table I)."""

BITMAPS = """
..###..  ..##...  .#####.  #######  .##..##  #######  ..####.  #######  .#####.  ..###..
.#...#.  .###...  #.....#  ......#  .##..##  #......  .##...#  ......#  #.....#  .#...##
#.....#  ####...  ......#  .....#.  .##..##  #......  ##.....  .....##  #.....#  #.....#
#.....#  ..##...  ......#  ....#..  .#...##  #......  #......  .....#.  #.....#  #.....#
#.....#  ..##...  .....##  ...##..  ##...##  ######.  #.###..  ....##.  .#...#.  #....##
#.....#  ..##...  ....##.  ....##.  ##...##  .....##  ##...#.  ....#..  ..###..  .######
#.....#  ..##...  ...##..  .....##  #######  ......#  #.....#  ...##..  .#...#.  ......#
#.....#  ..##...  ..##...  ......#  .....##  ......#  #.....#  ...#...  #.....#  ......#
#.....#  ..##...  .##....  ......#  .....##  ......#  #.....#  ..##...  #.....#  .....##
#.....#  ..##...  ##.....  #.....#  .....##  #.....#  #.....#  ..#....  #.....#  .....#.
.#...#.  ..##...  #......  ##...##  .....##  ##...##  .#...#.  .##....  #.....#  #...##.
..###..  .####..  #######  .#####.  .....##  .#####.  ..###..  .#.....  .#####.  .####..
"""
"""The codes that LeNet-5's outputs are distances from: a stylised 7x12 bitmap a digit (1998, figure 3).

The paper prints them as a picture only; these are drawn after it."""


def build_classic(variant: Variant, generator: Generator) -> nn.Sequential:
    """The network on the CPU, in training mode, its weights drawn from the generator.

    It maps images (N, channels, input_size, input_size) to scores (N, classes): logits, squashed outputs, or for an
    RBF output the negative squared distances. The highest is the answer.
    """
    layers = NETWORKS[variant.architecture](variant)
    if variant.output == "scaled_tanh":
        layers.append(("output_squash", ScaledTanh()))
    model = nn.Sequential(OrderedDict(layers))
    initialize(model, variant.init, generator)
    return model


def pad(kernel: int, stride: int, old: int, new: int) -> nn.Module:
    """The frame of background that makes `new` windows of `old` pixels; the odd line goes before."""
    missing = (new - 1) * stride + kernel - old
    before, after = (missing + 1) // 2, missing // 2
    return nn.ConstantPad2d((before, after, before, after), BACKGROUND)


def make_activation(variant: Variant) -> nn.Module:
    """A fresh module of the variant's activation."""
    return ACTIVATIONS[variant.activation]()


def net1(variant: Variant) -> Layers:
    """One layer: 2,570 weights."""
    pixels = variant.channels * variant.input_size**2
    return [("flatten", nn.Flatten()), ("output", nn.Linear(pixels, variant.classes))]


def perceptron(*hidden: int) -> Callable[[Variant], Layers]:
    """Fully connected layers of so many units."""

    def build(variant: Variant) -> Layers:
        layers: Layers = [("flatten", nn.Flatten())]
        size = variant.channels * variant.input_size**2
        for number, units in enumerate(hidden, start=1):
            layers += [(f"hidden{number}", nn.Linear(size, units)), (f"squash{number}", make_activation(variant))]
            size = units
        return [*layers, ("output", nn.Linear(size, variant.classes))]

    return build


def net3(variant: Variant) -> Layers:
    """Local connections without shared weights: 8x8 units on 3x3 windows, 4x4 units on 5x5 windows."""
    return [
        ("pad1", pad(3, 2, 16, 8)),
        ("h1", LocalConv2d(variant.channels, 1, 3, 2, 8)),
        ("squash1", make_activation(variant)),
        ("pad2", pad(5, 2, 8, 4)),
        ("h2", LocalConv2d(1, 1, 5, 2, 4)),
        ("squash2", make_activation(variant)),
        ("flatten", nn.Flatten()),
        ("output", nn.Linear(16, variant.classes)),
    ]


def net4(variant: Variant) -> Layers:
    """Two 8x8 maps of shared 3x3 weights, then 4x4 units on 5x5 windows, not shared."""
    return [
        ("pad1", pad(3, 2, 16, 8)),
        ("h1", nn.Conv2d(variant.channels, 2, 3, 2, bias=False)),
        ("bias1", UnitBias(2, 8, 8)),
        ("squash1", make_activation(variant)),
        ("pad2", pad(5, 2, 8, 4)),
        ("h2", LocalConv2d(2, 1, 5, 2, 4)),
        ("squash2", make_activation(variant)),
        ("flatten", nn.Flatten()),
        ("output", nn.Linear(16, variant.classes)),
    ]


def net5(variant: Variant) -> Layers:
    """Shared weights twice: two 8x8 maps, four 4x4 maps."""
    return [
        ("pad1", pad(3, 2, 16, 8)),
        ("h1", nn.Conv2d(variant.channels, 2, 3, 2, bias=False)),
        ("bias1", UnitBias(2, 8, 8)),
        ("squash1", make_activation(variant)),
        ("pad2", pad(5, 2, 8, 4)),
        ("h2", nn.Conv2d(2, 4, 5, 2, bias=False)),
        ("bias2", UnitBias(4, 4, 4)),
        ("squash2", make_activation(variant)),
        ("flatten", nn.Flatten()),
        ("output", nn.Linear(64, variant.classes)),
    ]


def zipcode1989(variant: Variant) -> Layers:
    """12 maps of 8x8, 12 maps of 4x4, 30 units; dropout before the layer with the most weights."""
    return [
        ("pad1", pad(5, 2, 16, 8)),
        ("h1", nn.Conv2d(variant.channels, 12, 5, 2, bias=False)),
        ("bias1", UnitBias(12, 8, 8)),
        ("squash1", make_activation(variant)),
        ("pad2", pad(5, 2, 8, 4)),
        ("h2", PartialConv2d(12, H2_OF_1989, 5, 2, bias=False)),
        ("bias2", UnitBias(12, 4, 4)),
        ("squash2", make_activation(variant)),
        ("flatten", nn.Flatten()),
        *([("dropout", nn.Dropout(variant.dropout))] if variant.dropout else []),
        ("h3", nn.Linear(192, 30)),
        ("squash3", make_activation(variant)),
        ("output", nn.Linear(30, variant.classes)),
    ]


def lenet1(variant: Variant) -> Layers:
    """4 maps, 12 maps, 10 outputs."""
    return [
        ("h1", nn.Conv2d(variant.channels, 4, 5)),
        ("squash1", make_activation(variant)),
        ("h2", POOLINGS[variant.pooling](4)),
        ("squash2", make_activation(variant)),
        ("h3", PartialConv2d(4, H3_OF_1990, 5)),
        ("squash3", make_activation(variant)),
        ("h4", POOLINGS[variant.pooling](12)),
        ("squash4", make_activation(variant)),
        ("flatten", nn.Flatten()),
        ("output", nn.Linear(192, variant.classes)),
    ]


def wide_lenet(variant: Variant, maps: int, table: list[list[int]]) -> Layers:
    """What LeNet-4 and LeNet-5 share: up to 120 units."""
    return [
        ("c1", nn.Conv2d(variant.channels, maps, 5)),
        ("squash1", make_activation(variant)),
        ("s2", POOLINGS[variant.pooling](maps)),
        ("squash2", make_activation(variant)),
        ("c3", PartialConv2d(maps, table, 5)),
        ("squash3", make_activation(variant)),
        ("s4", POOLINGS[variant.pooling](16)),
        ("squash4", make_activation(variant)),
        ("c5", nn.Conv2d(16, 120, 5)),
        ("squash5", make_activation(variant)),
        ("flatten", nn.Flatten()),
    ]


def lenet4(variant: Variant) -> Layers:
    """4 maps, 16 maps, 120 units, 10 outputs."""
    return [*wide_lenet(variant, 4, C3_OF_LENET4), ("output", nn.Linear(120, variant.classes))]


def lenet5(variant: Variant) -> Layers:
    """6 maps, 16 maps, 120 and 84 units, 10 distances from bitmaps."""
    return [
        *wide_lenet(variant, 6, C3_OF_1998),
        ("f6", nn.Linear(120, 84)),
        ("squash6", make_activation(variant)),
        ("output", SquaredDistance(torch.tensor(read_bitmaps()))),
    ]


def read_bitmaps() -> list[list[float]]:
    """A code of 84 values for each of the digits 0 to 9, row by row: +1 for ink and -1 for paper.

    At these values the squashing function of the layer below bends most.
    """
    rows = [line.split() for line in BITMAPS.strip().splitlines()]
    return [[1.0 if pixel == "#" else -1.0 for row in rows for pixel in row[digit]] for digit in range(10)]


def bosch(variant: Variant) -> Layers:
    """20 and 50 maps, 500 units; the pooling before the activation."""
    return [
        ("conv1", nn.Conv2d(variant.channels, 20, 5)),
        ("pool1", nn.MaxPool2d(2)),
        ("tanh1", nn.Tanh()),
        ("conv2", nn.Conv2d(20, 50, 5)),
        ("pool2", nn.MaxPool2d(2)),
        ("tanh2", nn.Tanh()),
        ("flatten", nn.Flatten()),
        ("fc1", nn.Linear(800, 500)),
        ("relu", nn.ReLU()),
        ("fc2", nn.Linear(500, variant.classes)),
    ]


NETWORKS: dict[str, Callable[[Variant], Layers]] = {
    "net1": net1, "net2": perceptron(12), "net3": net3, "net4": net4, "net5": net5, "zipcode1989": zipcode1989,
    "lenet1": lenet1, "lenet4": lenet4, "lenet5": lenet5, "linear": perceptron(), "mlp300": perceptron(300),
    "mlp300_100": perceptron(300, 100), "mlp1000": perceptron(1_000), "bosch": bosch,
}  # fmt: skip
"""The layers of each historic network, before the squashing of its outputs."""
