"""LeNet against the same network written out, its sizes against arithmetic, and all its variants."""

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lenet import LeNet
from lenet.networks import build, count
from lenet.variant import CHOICES, Variant


def plain(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network of the reading note."""
    x = F.max_pool2d(F.relu(F.conv2d(x, weights["conv1.weight"], weights["conv1.bias"])), 2)
    x = F.max_pool2d(F.relu(F.conv2d(x, weights["conv2.weight"], weights["conv2.bias"])), 2)
    x = x.view(x.size(0), -1)
    x = F.relu(x @ weights["fc1.weight"].T + weights["fc1.bias"])
    x = F.relu(x @ weights["fc2.weight"].T + weights["fc2.bias"])
    return x @ weights["fc3.weight"].T + weights["fc3.bias"]


@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_the_network_of_the_note(seed: int) -> None:
    model = build(Variant(), seed)
    images = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    ours, theirs = model(images), plain(model.state_dict(keep_vars=True), images)
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(out.square().sum(), list(model.parameters())) for out in (ours, theirs)]
    torch.testing.assert_close(*gradients)


def test_pooling_before_the_activation_is_the_other_order() -> None:
    variant = Variant(activation="tanh", pooling="avg", pool_position="before_activation")
    model = build(variant, 0)
    images = torch.randn(2, 3, 32, 32)
    x = torch.tanh(F.avg_pool2d(model.conv1(images), 2))
    x = torch.tanh(F.avg_pool2d(model.conv2(x), 2)).flatten(1)
    expected = model.fc3(torch.tanh(model.fc2(torch.tanh(model.fc1(x)))))
    torch.testing.assert_close(model(images), expected)


def test_batch_norm_follows_the_convolutions() -> None:
    model = build(Variant(normalization="batch"), 0)
    images = torch.randn(8, 3, 32, 32)
    expected = F.batch_norm(model.conv1(images), None, None, training=True)
    torch.testing.assert_close(model.norm1(model.conv1(images)), expected)
    assert {name for name, _ in model.named_modules() if isinstance(_, nn.BatchNorm2d)} == {"norm1", "norm2"}


def test_the_state_dict_holds_five_layers_and_no_more() -> None:
    names = [f"{layer}.{kind}" for layer in ("conv1", "conv2", "fc1", "fc2", "fc3") for kind in ("weight", "bias")]
    assert list(LeNet().state_dict()) == names


@pytest.mark.parametrize(
    ("variant", "parameters", "macs"),
    [
        (Variant(), 62_006, 651_720),
        (Variant(channels=1), 61_706, 416_520),
        (Variant(classes=100), 62_006 + 90 * 85, 651_720 + 90 * 84),
        (Variant(normalization="batch"), 62_006 + 2 * (6 + 16), 651_720),
        (Variant(pooling="subsampling"), 62_006 + 2 * (6 + 16), 651_720),
        (
            Variant(pooling="strided_conv"),
            62_006 + (4 * 6 * 6 + 6) + (4 * 16 * 16 + 16),
            651_720 + 4 * 6 * 6 * 14 * 14 + 4 * 16 * 16 * 5 * 5,
        ),
        (
            Variant(channels=1, input_size=28),
            61_706 - (400 - 256) * 120,
            24 * 24 * 150 + 8 * 8 * 2400 + 256 * 120 + 10_920,
        ),
    ],
)
def test_parameters_and_multiply_accumulates(variant: Variant, parameters: int, macs: int) -> None:
    counted = count(build(variant, 0), (variant.channels, variant.input_size, variant.input_size))
    assert (counted["parameters"], counted["macs"]) == (parameters, macs)
    assert sum(layer["parameters"] for layer in counted["layers"]) == parameters
    assert sum(layer["macs"] for layer in counted["layers"]) == macs


def test_count_layer_by_layer() -> None:
    counted = count(LeNet(), (3, 32, 32))
    assert [(layer["name"], layer["parameters"], layer["macs"]) for layer in counted["layers"]] == [
        ("conv1", 456, 352_800),
        ("conv2", 2_416, 240_000),
        ("fc1", 48_120, 48_000),
        ("fc2", 10_164, 10_080),
        ("fc3", 850, 840),
    ]


@pytest.mark.parametrize("training", [True, False])
def test_count_leaves_the_network_as_it_was(training: bool) -> None:
    model = build(Variant(normalization="batch"), 0).train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    count(model, (3, 32, 32))
    assert model.training is training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not model.conv1._forward_hooks


@pytest.mark.parametrize(
    ("activation", "pooling"), list(itertools.product(sorted(CHOICES["activation"]), sorted(CHOICES["pooling"])))
)
def test_every_variant_runs_forward_and_backward(activation: str, pooling: str) -> None:
    for position, normalization in itertools.product(CHOICES["pool_position"], CHOICES["normalization"]):
        variant = Variant(
            activation=activation, pooling=pooling, pool_position=position, normalization=normalization, channels=1
        )
        model = build(variant, 0)
        loss = F.cross_entropy(model(torch.zeros(4, 1, 32, 32)), torch.arange(4))
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("input_size", [16, 17, 28, 32, 33, 64])
def test_any_input_size(input_size: int) -> None:
    variant = Variant(input_size=input_size, classes=7, channels=2)
    assert build(variant, 0)(torch.zeros(3, 2, input_size, input_size)).shape == (3, 7)


def test_the_seed_decides_the_weights() -> None:
    first, same, other = (build(Variant(), seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_the_bare_class_follows_torchs_own_seed_and_the_variants_scheme() -> None:
    torch.manual_seed(0)
    first = LeNet()
    torch.manual_seed(0)
    assert torch.equal(first.fc1.weight, LeNet().fc1.weight)
    assert first.fc1.weight.std().item() == pytest.approx(0.1, rel=0.02)
    assert first.fc1.bias.count_nonzero() == 0
