"""Second derivatives against exact ones and a literal recursion, the update, and learning by it."""

import itertools

import pytest
import torch
from torch import nn

from lenet.data import synthesize
from lenet.layers import LocalConv2d, PartialConv2d, ScaledTanh, SquaredDistance, Subsampling, UnitBias
from lenet.losses import LOSSES
from lenet.networks import build
from lenet.sdlm import MU, SDLM, curvature
from lenet.step import TrainingStep
from lenet.variant import CHOICES, ChoiceError, Recipe, Variant

torch.manual_seed(0)


def exact_diagonal(model, loss, images, labels):
    """The mean diagonal of the Hessian over images, each differentiated twice."""
    names = [name for name, _ in model.named_parameters()]
    start = {name: value.detach() for name, value in model.named_parameters()}
    totals = [torch.zeros_like(value) for value in start.values()]
    for image, label in zip(images, labels, strict=True):

        def of(values, image=image, label=label):
            scores = torch.func.functional_call(model, values, (image[None],))
            return loss(scores, label[None])

        hessian = torch.func.jacrev(torch.func.jacrev(of))(start)
        for place, name in enumerate(names):
            size = start[name].numel()
            totals[place] += hessian[name][name].reshape(size, size).diagonal().reshape(start[name].shape)
    return [total / len(images) for total in totals]


def one_layer(kind):
    """Networks in which the diagonal is exact: one layer of weights, whatever comes after it linear or by unit."""
    return {
        "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(18, 3)),
        "convolution": lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten()),
        "partial": lambda: nn.Sequential(PartialConv2d(2, [[0], [0, 1], [1]], 3), nn.Flatten()),
        "local": lambda: nn.Sequential(LocalConv2d(2, 3, 3, 1, 1), nn.Flatten()),
        "bias": lambda: nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), UnitBias(3, 1, 1), nn.Flatten()),
        "subsampling": lambda: nn.Sequential(Subsampling(2), nn.Flatten(), nn.ConstantPad1d((0, 0), 0.0)),
    }[kind]().double()


@pytest.mark.parametrize("kind", ["linear", "convolution", "partial", "local", "bias"])
def test_one_layer_has_its_exact_diagonal(kind):
    model = one_layer(kind)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    images, labels = torch.randn(5, 2, 3, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 1, 0])
    for loss in ("mse", "cross_entropy"):
        found, exact = curvature(model, loss, images, labels), exact_diagonal(model, LOSSES[loss], images, labels)
        torch.testing.assert_close(found, exact)


def test_a_shared_weight_sums_over_its_uses():
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten()).double()  # 3x3 windows of a 4x4 image: 4 scores
    images, labels = torch.randn(4, 1, 4, 4, dtype=torch.float64), torch.tensor([0, 3, 1, 2])
    found, exact = curvature(model, "mse", images, labels), exact_diagonal(model, LOSSES["mse"], images, labels)
    torch.testing.assert_close(found, exact)


def test_trainable_subsampling_has_its_exact_diagonal():
    model = nn.Sequential(Subsampling(3), nn.Flatten()).double()
    images, labels = torch.randn(5, 3, 2, 2, dtype=torch.float64), torch.tensor([0, 1, 2, 1, 0])
    found, exact = curvature(model, "mse", images, labels), exact_diagonal(model, LOSSES["mse"], images, labels)
    torch.testing.assert_close(found, exact)


@pytest.mark.parametrize("loss", ["penalty", "discriminative"])
def test_distances_have_their_exact_diagonal(loss):
    centres = torch.randn(3, 4).sign().double()
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 4), SquaredDistance(centres)).double()
    with torch.no_grad():
        model[1].weight.mul_(0.3)
        model[1].bias.copy_(centres[:2].mean(0))  # near two centres, so that the second term counts
    images, labels = torch.randn(6, 1, 1, 2, dtype=torch.float64), torch.tensor([0, 1, 2, 1, 0, 2])
    found, exact = curvature(model, loss, images, labels), exact_diagonal(model, LOSSES[loss], images, labels)
    torch.testing.assert_close(found, exact)


def test_layers_behind_a_squash_are_exact_where_nothing_was_dropped():
    """Without a residual f'' has no weight, and with one unit above there is nothing between units."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), ScaledTanh(), nn.Linear(3, 1)).double()
    images, labels = torch.randn(1, 1, 2, 2, dtype=torch.float64), torch.tensor([0])
    with torch.no_grad():
        model[3].bias += 1 - model(images)[0]  # the target of the right class is 1
        assert float(LOSSES["mse"](model(images), labels)) < 1e-20
    found, exact = curvature(model, "mse", images, labels), exact_diagonal(model, LOSSES["mse"], images, labels)
    torch.testing.assert_close(found, exact)


def test_a_deep_network_agrees_with_the_recursion_written_out():
    """A convolution, subsampling, a squash and two linear layers, unit by unit in plain loops."""
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), ScaledTanh(), Subsampling(2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3), ScaledTanh(),
    ).double()  # fmt: skip
    with torch.no_grad():
        model[2].weight.uniform_(-1, 1)
    image = torch.randn(1, 1, 6, 6, dtype=torch.float64)
    found = dict(zip([n for n, _ in model.named_parameters()], curvature(model, "mse", image, torch.tensor([1])),
                     strict=True))  # fmt: skip
    values = [image]
    with torch.no_grad():
        for layer in model:
            values.append(layer(values[-1]))
    weight, coefficient = model[5].weight.detach(), model[2].weight.detach()
    slope6 = 1.7159 * 2 / 3 * (1 - (values[7][0] / 1.7159) ** 2)
    h_out = (2 / 3) * slope6**2  # the mean of three squares
    h_features = torch.stack([sum(weight[k, i] ** 2 * h_out[k] for k in range(3)) for i in range(8)])
    expected_fc = torch.stack([values[5][0] ** 2 * h_out[k] for k in range(3)])
    torch.testing.assert_close(found["5.weight"], expected_fc)
    h_pooled = h_features.reshape(2, 2, 2) * (1 - values[4][0] ** 2) ** 2
    sums = torch.zeros(2, 2, 2, dtype=torch.float64)
    h_maps = torch.zeros(2, 4, 4, dtype=torch.float64)
    for m, i, j, u, v in itertools.product(range(2), range(2), range(2), range(2), range(2)):
        sums[m, i, j] += values[2][0, m, 2 * i + u, 2 * j + v]
        h_maps[m, 2 * i + u, 2 * j + v] = h_pooled[m, i, j] * coefficient[m] ** 2
    torch.testing.assert_close(found["2.weight"], (sums**2 * h_pooled).sum((1, 2)))
    slope1 = 1.7159 * 2 / 3 * (1 - (values[2][0] / 1.7159) ** 2)
    h_conv = h_maps * slope1**2
    expected = torch.zeros(2, 1, 3, 3, dtype=torch.float64)
    for m, u, v, i, j in itertools.product(range(2), range(3), range(3), range(4), range(4)):
        expected[m, 0, u, v] += image[0, 0, i + u, j + v] ** 2 * h_conv[m, i, j]
    torch.testing.assert_close(found["0.weight"], expected)
    torch.testing.assert_close(found["0.bias"], h_conv.sum((1, 2)))


def test_the_update_is_the_paper_s():
    weight = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
    optimizer = SDLM([weight], 0.1, batch_size=4)
    optimizer.set_curvature([torch.tensor([0.0, 0.08, -5.0])])
    weight.grad = torch.tensor([1.0, 1.0, 1.0])
    optimizer.step()
    rates = torch.tensor([0.1 / MU, 0.1 / (MU + 0.08), 0.1 / MU])
    torch.testing.assert_close(weight.detach(), torch.tensor([1.0, 2.0, 3.0]) - 4 * rates)


def test_the_model_is_left_as_it_was():
    model = build(Variant.make("lenet5", channels=1), 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    curvature(model, "discriminative", torch.randn(4, 1, 32, 32), torch.tensor([0, 1, 2, 3]))
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    "name", ["net1", "net3", "net5", "zipcode1989", "lenet1", "lenet5", "mlp300", "bosch", "lenet"]
)
def test_one_update_lowers_the_loss(name):
    variant = Variant.make(name, channels=1)
    recipe = Recipe(
        data="synthetic",
        optimizer="sdlm",
        learning_rate=2e-5,
        batch_size=16,
        loss={"scaled_tanh": "mse", "logits": "cross_entropy", "rbf": "discriminative"}[variant.output],
    )
    step = TrainingStep(build(variant, 0), recipe)
    data = synthesize(1, 10, variant.input_size, images=16).train
    step.estimate_curvature(data.images, data.labels)
    losses = [float(step.step(data.images, data.labels)) for _ in range(4)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("pooling", sorted(CHOICES["pooling"] - {"lp2"}))
def test_lenet_with_other_layers_is_known_too(pooling):
    model = build(Variant(pooling=pooling, pool_position="before_activation"), 0)
    images = torch.randn(2, 3, 32, 32)
    chained = images
    for layer in model.chain():
        chained = layer(chained)
    assert torch.equal(chained, model(images))
    found = curvature(model, "cross_entropy", images, torch.tensor([0, 1]))
    assert [second.shape for second in found] == [parameter.shape for parameter in model.parameters()]
    assert all((second >= 0).all() for second in found)


@pytest.mark.parametrize("knobs", [{"normalization": "batch"}, {"pooling": "lp2"}])
def test_layers_without_a_rule_are_refused(knobs):
    with pytest.raises(ChoiceError, match="'sdlm' has no second derivative for"):
        curvature(build(Variant(**knobs), 0), "cross_entropy", torch.randn(2, 3, 32, 32), torch.tensor([0, 1]))
