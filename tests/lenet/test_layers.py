"""Activations against their formulas, poolings against numpy, and the registries."""

import copy
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lenet import layers
from lenet.layers import ACTIVATIONS, POOLINGS
from lenet.variant import CHOICES, ChoiceError, Variant


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


FORMULAS: dict[str, Callable[[float], float]] = {
    "relu": lambda x: max(x, 0.0),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
    "silu": lambda x: x * sigmoid(x),
    "mish": lambda x: x * math.tanh(softplus(x)),
    "hardswish": lambda x: x * min(max(x + 3, 0), 6) / 6,
    "tanh": math.tanh,
    "scaled_tanh": lambda x: 1.7159 * math.tanh(2 * x / 3),
    "sigmoid": sigmoid,
}


@pytest.fixture
def registries() -> Iterator[None]:
    """Takes back what a test registers."""
    kept = [(registry, copy.copy(registry)) for registry in (ACTIVATIONS, POOLINGS)]
    choices = {knob: set(names) for knob, names in CHOICES.items()}
    yield
    for registry, before in kept:
        registry.clear()  # type: ignore[attr-defined]  # both are dicts
        registry.update(before)  # type: ignore[attr-defined]
    for knob, names in choices.items():
        CHOICES[knob].intersection_update(names)


def test_every_choice_has_its_layer() -> None:
    assert set(ACTIVATIONS) == CHOICES["activation"] == set(FORMULAS)
    assert set(POOLINGS) == CHOICES["pooling"]


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_an_activation_is_its_formula(name: str) -> None:
    points = [-4.0, -1.0, -0.1, 0.0, 0.1, 1.0, 4.0]
    out = ACTIVATIONS[name]()(torch.tensor(points))
    assert out.tolist() == pytest.approx([FORMULAS[name](x) for x in points], abs=1e-6)


def test_scaled_tanh_keeps_plus_and_minus_one() -> None:
    out = ACTIVATIONS["scaled_tanh"]()(torch.tensor([-1.0, 1.0]))
    assert out.tolist() == pytest.approx([-1, 1], abs=1e-4)


def windows(images: Tensor) -> np.ndarray:
    """The 2x2 windows of (N, C, H, W) as (N, C, H/2, W/2, 4), in numpy."""
    n, c, h, w = images.shape
    split = images.detach().numpy().reshape(n, c, h // 2, 2, w // 2, 2)
    return split.transpose(0, 1, 2, 4, 3, 5).reshape(n, c, h // 2, w // 2, 4)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("max", lambda w: w.max(-1)),
        ("avg", lambda w: w.mean(-1)),
        ("lp2", lambda w: np.sqrt((w**2).sum(-1))),
        ("subsampling", lambda w: w.mean(-1)),  # as it starts
    ],
)
def test_a_pooling_is_its_formula(name: str, rule: Callable[[np.ndarray], np.ndarray]) -> None:
    images = torch.randn(2, 3, 8, 6, generator=torch.Generator().manual_seed(0))
    out = POOLINGS[name](3)(images)
    np.testing.assert_allclose(out.detach().numpy(), rule(windows(images)), rtol=1e-5, atol=1e-6)


def test_subsampling_scales_the_sum_and_adds_a_bias_for_each_map() -> None:
    pool = layers.Subsampling(2)
    with torch.no_grad():
        pool.weight.copy_(torch.tensor([2.0, -1.0]))
        pool.bias.copy_(torch.tensor([0.5, 3.0]))
    images = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    sums = windows(images).sum(-1)
    expected = sums * np.array([2.0, -1.0])[:, None, None] + np.array([0.5, 3.0])[:, None, None]
    np.testing.assert_allclose(pool(images).detach().numpy(), expected, rtol=1e-5)
    assert sum(p.numel() for p in pool.parameters()) == 2 * 2


@pytest.mark.parametrize("name", sorted(CHOICES["pooling"]))
@pytest.mark.parametrize("side", [6, 7])
def test_a_pooling_halves_and_rounds_down(name: str, side: int) -> None:
    assert POOLINGS[name](4)(torch.randn(2, 4, side, side)).shape == (2, 4, 3, 3)


@pytest.mark.parametrize("name", sorted(CHOICES["pooling"]))
def test_gradients_are_finite_where_everything_is_zero(name: str) -> None:
    images = torch.zeros(1, 2, 4, 4, requires_grad=True)
    POOLINGS[name](2)(images.relu()).sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()


def test_a_user_adds_an_activation_and_a_pooling(registries: None) -> None:
    layers.activation("cube")(nn.Identity)
    layers.pooling("nearest")(lambda channels: nn.MaxPool2d(1, 2))
    assert Variant(activation="cube", pooling="nearest").activation == "cube"


@pytest.mark.parametrize("decorate", [layers.activation("relu"), layers.pooling("max")])
def test_a_name_is_given_once(decorate: Callable[[object], object], registries: None) -> None:
    with pytest.raises(ChoiceError, match="is taken already"):
        decorate(nn.Identity)


def test_a_partial_convolution_is_a_full_one_with_zeros() -> None:
    layer = layers.PartialConv2d(3, [[0, 2], [1]], 3, stride=2)
    with torch.no_grad():
        layer.weight.normal_()
        layer.bias.normal_()
    full = torch.zeros(2, 3, 3, 3)
    full[0, 0], full[0, 2], full[1, 1] = layer.weight
    images = torch.randn(4, 3, 9, 9)
    torch.testing.assert_close(layer(images), nn.functional.conv2d(images, full, layer.bias, 2))


def test_a_local_convolution_with_equal_windows_is_a_shared_one() -> None:
    layer = layers.LocalConv2d(2, 3, 5, 2, 4)
    kernel = torch.randn(3, 2, 5, 5)
    with torch.no_grad():
        layer.weight.copy_(kernel.flatten(1)[:, None].expand(3, 16, 50))
    images = torch.randn(2, 2, 11, 11)
    torch.testing.assert_close(layer(images), nn.functional.conv2d(images, kernel, stride=2))


def test_a_unit_bias_is_one_of_each_unit() -> None:
    layer = layers.UnitBias(2, 3, 3)
    with torch.no_grad():
        layer.bias.copy_(torch.arange(18.0).reshape(2, 3, 3))
    assert layer(torch.zeros(5, 2, 3, 3))[4].flatten().tolist() == list(range(18))


def test_squared_distances_are_negative_and_exact_near_a_centre() -> None:
    centres = torch.tensor([[1.0, -1.0], [0.0, 2.0]])
    points = torch.tensor([[1.0, 2.0], [1e-4, 2.0]])
    scores = layers.SquaredDistance(centres)(points)
    np.testing.assert_allclose(scores.numpy(), [[-9.0, -1.0], [-((1 - 1e-4) ** 2) - 9.0, -1e-8]], rtol=1e-5)
    assert list(layers.SquaredDistance(centres).parameters()) == []
