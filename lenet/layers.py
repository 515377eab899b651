"""Layers: activations and poolings by name, and the layers that only the historic networks have.

`ACTIVATIONS` and `POOLINGS` map each name to a function that makes a fresh module. The decorators `activation` and
`pooling` add a function under a new name, and `lenet.variant` then accepts that name. What the weights of a layer start
from is decided by `lenet.initialize`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lenet.variant import CHOICES, ChoiceError

Entry = TypeVar("Entry", bound=Callable[..., object])
Activation = Callable[[], nn.Module]
Pooling = Callable[[int], nn.Module]

ACTIVATIONS: dict[str, Activation] = {}
"""Functions that make an activation, called without arguments."""

POOLINGS: dict[str, Pooling] = {}
"""Functions that make a pooling, called with the number of channels. It halves height and width, rounded down."""


def register(registry: dict[str, Entry], knob: str, name: str) -> Callable[[Entry], Entry]:
    """A decorator that enters a function in `registry` and its name in `CHOICES[knob]`.

    Raises `ChoiceError` if the name is taken: a result table must not hold two things under one name.
    """

    def enter(entry: Entry) -> Entry:
        if name in registry:
            raise ChoiceError(f"{knob}: '{name}' is taken already; choose another name")
        registry[name] = entry
        CHOICES[knob].add(name)
        return entry

    return enter


def activation(name: str) -> Callable[[Activation], Activation]:
    """Decorates a function `() -> nn.Module` as the activation `name`. Raises `ChoiceError` if it is taken."""
    return register(ACTIVATIONS, "activation", name)


def pooling(name: str) -> Callable[[Pooling], Pooling]:
    """Decorates a function `(channels) -> nn.Module` as the pooling `name`. Raises `ChoiceError` if it is taken."""
    return register(POOLINGS, "pooling", name)


for _name, _module in {
    "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU, "mish": nn.Mish,
    "hardswish": nn.Hardswish, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid,
}.items():  # fmt: skip
    activation(_name)(_module)


@activation("scaled_tanh")
class ScaledTanh(nn.Module):
    """1.7159 tanh(2x/3), so that f(1) = 1 and f(-1) = -1 (LeCun et al. 1998, appendix A). Keeps the shape."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))


class Subsampling(nn.Module):
    """Trainable subsampling: a coefficient a map times the 2x2 sum, plus a bias (LeCun et al. 1998, section II.B).

    The squashing that follows it in the paper is the network's activation: put the pooling before it for the paper's
    order. (N, C, H, W) to (N, C, H // 2, W // 2). Starts as the mean: coefficients 1/4, biases 0.

    **Arguments:**

    - `channels`: the number of maps C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Back to the mean over each window."""
        nn.init.constant_(self.weight, 0.25)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        sums = F.avg_pool2d(x, 2, divisor_override=1)
        return sums * self.weight[:, None, None] + self.bias[:, None, None]


@pooling("max")
def max_pool(channels: int) -> nn.Module:
    """The largest value of each 2x2 window."""
    return nn.MaxPool2d(2)


@pooling("avg")
def average_pool(channels: int) -> nn.Module:
    """The mean of each 2x2 window."""
    return nn.AvgPool2d(2)


@pooling("lp2")
def root_sum_square_pool(channels: int) -> nn.Module:
    """The root of the sum of squares of each 2x2 window; where they are all 0, torch's gradient is 0 too."""
    return nn.LPPool2d(2, 2)


@pooling("strided_conv")
def strided_convolution(channels: int) -> nn.Module:
    """A learnable 2x2 convolution of stride 2 over all maps (Springenberg et al. 2015, arXiv:1412.6806)."""
    return nn.Conv2d(channels, channels, 2, stride=2)


@pooling("subsampling")
def trainable_subsampling(channels: int) -> nn.Module:
    """A coefficient and a bias a map around the 2x2 sum, as in 1998."""
    return Subsampling(channels)


class PartialConv2d(nn.Module):
    """A convolution in which each output map sees only some input maps (LeCun et al. 1998, table I).

    (N, C, H, W) to (N, M, H - k + 1, W - k + 1). Only the links that exist have weights: `weight` (links, k, k) in the
    table's order, `bias` (M,).

    **Arguments:**

    - `channels`: input maps C. `table`: for each of the M output maps the input maps it sees.
    - `kernel`: k. `stride`: of the windows. `bias`: False leaves it out.
    """

    outputs: Tensor
    inputs: Tensor

    def __init__(
        self, channels: int, table: Sequence[Sequence[int]], kernel: int, stride: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        links = [(output, seen) for output, row in enumerate(table) for seen in row]
        self.channels, self.maps, self.stride = channels, len(table), stride
        self.weight = nn.Parameter(torch.zeros(len(links), kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(len(table))) if bias else None
        self.register_buffer("outputs", torch.tensor([output for output, _ in links]), persistent=False)
        self.register_buffer("inputs", torch.tensor([seen for _, seen in links]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        full = self.weight.new_zeros(self.maps, self.channels, *self.weight.shape[1:])
        full = full.index_put((self.outputs, self.inputs), self.weight)
        return F.conv2d(x, full.to(x.dtype), self.bias, self.stride)


class LocalConv2d(nn.Module):
    """A convolution whose every window has weights of its own (LeCun 1989: local connections, not shared).

    (N, C, H, W) to (N, maps, S, S) with S = (H - k) / stride + 1; `weight` (maps, S * S, C * k * k), `bias`
    (maps, S * S).

    **Arguments:**

    - `channels`, `maps`: C and the number of output maps. `kernel`: k. `stride`: of the windows. `side`: S.
    """

    def __init__(self, channels: int, maps: int, kernel: int, stride: int, side: int) -> None:
        super().__init__()
        self.kernel, self.stride, self.side = kernel, stride, side
        self.weight = nn.Parameter(torch.zeros(maps, side * side, channels * kernel * kernel))
        self.bias = nn.Parameter(torch.zeros(maps, side * side))

    def forward(self, x: Tensor) -> Tensor:
        windows = F.unfold(x, self.kernel, stride=self.stride)
        sums = torch.einsum("nkp,mpk->nmp", windows, self.weight.to(windows.dtype)) + self.bias
        return sums.view(len(x), -1, self.side, self.side)


class UnitBias(nn.Module):
    """A bias for each unit, not for each map (LeCun et al. 1989): adds `bias` (C, H, W) to (N, C, H, W).

    **Arguments:**

    - `shape`: C, H, W.
    """

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class SquaredDistance(nn.Module):
    """Euclidean radial basis functions with fixed centres (LeCun et al. 1998, eq. 7), as scores: -sum((x - c)^2).

    (N, D) to (N, classes): the higher, the nearer. The centres are a buffer, not trained.

    **Arguments:**

    - `centres`: float (classes, D).
    """

    centres: Tensor

    def __init__(self, centres: Tensor) -> None:
        super().__init__()
        self.register_buffer("centres", centres)

    def forward(self, x: Tensor) -> Tensor:
        # Not expanded into |x|^2 - 2xc + |c|^2: near a centre that would lose most of its digits.
        return -(x[:, None, :] - self.centres).square().sum(2)
