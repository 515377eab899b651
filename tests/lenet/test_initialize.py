"""Init schemes against their formulas, and what they have in common."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lenet.initialize import INITS, init, initialize
from lenet.layers import LocalConv2d, PartialConv2d, Subsampling, UnitBias
from lenet.variant import CHOICES, ChoiceError


def network() -> nn.Sequential:
    """Wide enough for its moments to be tight: fan-in 400 and 1,000, fan-out 1,600 and 2,000."""
    return nn.Sequential(nn.Conv2d(16, 64, 5), nn.BatchNorm2d(64), Subsampling(64), nn.Linear(1000, 2000))


def fill(scheme: str, seed: int = 0) -> nn.Sequential:
    module = network()
    initialize(module, scheme, torch.Generator().manual_seed(seed))
    return module


def test_every_choice_has_its_scheme() -> None:
    assert set(INITS) == CHOICES["init"]


# (convolution, linear): the standard deviation of a normal, or the bound of a uniform
NORMAL = {
    "seed": (math.sqrt(2 / 2000), 0.1),
    "xavier_normal": (math.sqrt(2 / 2000), math.sqrt(2 / 3000)),
    "kaiming_normal": (math.sqrt(2 / 400), math.sqrt(2 / 1000)),
}
UNIFORM = {
    "torch_default": (1 / math.sqrt(400), 1 / math.sqrt(1000)),
    "xavier_uniform": (math.sqrt(6 / 2000), math.sqrt(6 / 3000)),
    "kaiming_uniform": (math.sqrt(6 / 400), math.sqrt(6 / 1000)),
    "lecun_uniform": (2.4 / 400, 2.4 / 1000),
    "lecun_sqrt_uniform": (2.4 / math.sqrt(400), 2.4 / math.sqrt(1000)),
}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("scheme", sorted(NORMAL))
def test_a_normal_scheme_has_its_moments(scheme: str, place: int) -> None:
    weight = fill(scheme)[3 * place].weight
    deviation = NORMAL[scheme][place]
    assert weight.std().item() == pytest.approx(deviation, rel=0.02)
    assert abs(weight.mean().item()) < 5 * deviation / math.sqrt(weight.numel())
    inside = (weight.abs() < deviation).float().mean().item()
    assert inside == pytest.approx(math.erf(1 / math.sqrt(2)), abs=0.01)  # 68 %: normal, not uniform


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("scheme", sorted(UNIFORM))
def test_a_uniform_scheme_fills_its_interval(scheme: str, place: int) -> None:
    weight, bound = fill(scheme)[3 * place].weight, UNIFORM[scheme][place]
    assert 0.999 * bound < weight.abs().max().item() <= bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


BIASES_DRAWN = ["torch_default", "lecun_uniform", "lecun_sqrt_uniform"]


@pytest.mark.parametrize("scheme", BIASES_DRAWN)
def test_biases_that_are_drawn_stay_in_the_interval(scheme: str) -> None:
    for place, bound in enumerate(UNIFORM[scheme]):
        bias = fill(scheme)[3 * place].bias
        assert bias.abs().max() <= bound
        assert bias.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.25)


@pytest.mark.parametrize("scheme", sorted(CHOICES["init"] - set(BIASES_DRAWN)))
def test_other_biases_are_zero(scheme: str) -> None:
    module = fill(scheme)
    assert all(module[place].bias.count_nonzero() == 0 for place in (0, 3))


@pytest.mark.parametrize("scheme", sorted(CHOICES["init"]))
def test_normalization_and_subsampling_start_neutral(scheme: str) -> None:
    _, norm, pool, _ = fill(scheme)
    assert (norm.weight == 1).all()
    assert (pool.weight == 0.25).all()
    assert norm.bias.count_nonzero() == pool.bias.count_nonzero() == 0


@pytest.mark.parametrize(
    ("scheme", "bound"), [("lecun_uniform", lambda f: 2.4 / f), ("lecun_sqrt_uniform", lambda f: 2.4 / f**0.5)]
)
def test_the_schemes_by_fan_in_know_every_kind_of_layer(scheme: str, bound: Callable[[int], float]) -> None:
    partial, local, units = PartialConv2d(4, [[0], [0, 1, 2, 3]], 25), LocalConv2d(2, 3, 25, 1, 4), UnitBias(3, 4, 4)
    initialize(nn.Sequential(partial, local, units), scheme, torch.Generator().manual_seed(0))
    for weights, inputs in ((partial.weight[:1], 625), (partial.weight[1:], 2_500), (local.weight, 1_250)):
        assert 0.98 * bound(inputs) < weights.abs().max().item() <= bound(inputs)
    assert partial.bias is not None
    assert 0 < partial.bias[0].abs() <= bound(625)
    assert 0 < partial.bias[1].abs() <= bound(2_500)
    assert 0.9 * bound(1_250) < local.bias.abs().max() <= bound(1_250)
    assert units.bias.count_nonzero() == 0


def test_orthogonal() -> None:
    for weight in (fill("orthogonal")[place].weight.detach() for place in (0, 3)):
        matrix = weight.flatten(1)
        matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix)), atol=1e-5, rtol=0)


def test_the_two_that_fail() -> None:
    assert all(fill("zeros")[place].weight.count_nonzero() == 0 for place in (0, 3))
    for place in (0, 3):
        weight = fill("uniform01")[place].weight
        assert weight.min() >= 0
        assert weight.max() < 1
        assert weight.mean().item() == pytest.approx(0.5, abs=0.01)


def test_torch_default_is_what_torch_does() -> None:
    torch.manual_seed(3)
    reference = nn.Linear(50, 20)
    module = nn.Linear(50, 20)
    initialize(module, "torch_default", torch.Generator().manual_seed(3))
    torch.testing.assert_close(module.weight, reference.weight, rtol=0, atol=0)
    torch.testing.assert_close(module.bias, reference.bias, rtol=0, atol=0)


def values(module: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


@pytest.mark.parametrize("scheme", sorted(CHOICES["init"]))
def test_the_generator_alone_decides(scheme: str) -> None:
    torch.manual_seed(1)
    first = values(fill(scheme))
    torch.manual_seed(2)
    before = torch.get_rng_state()
    module = network()
    torch.set_rng_state(before)
    initialize(module, scheme, torch.Generator().manual_seed(0))
    assert torch.equal(first, values(module))
    assert torch.equal(before, torch.get_rng_state()), "the global generator was drawn from"
    if scheme != "zeros":
        assert not torch.equal(first, values(fill(scheme, seed=1)))


def test_a_name_is_given_once() -> None:
    with pytest.raises(ChoiceError, match="init: 'zeros' is taken already"):
        init("zeros")(INITS["zeros"])
