"""One training step: the optimisers' formulas, modes, placements, and that every backend does the same."""

import dataclasses

import pytest
import torch
from fakes.made_steps import BACKENDS, DEVICES, QUICK, batch, make, weights
from torch import Tensor
from torch.nn import functional as F

from lenet.networks import build
from lenet.variant import Recipe, Variant

OPTIMIZERS = {
    "sgd": Recipe(optimizer="sgd", learning_rate=0.05, momentum=0.9, weight_decay=1e-3),
    "plain": Recipe(optimizer="sgd", learning_rate=0.05, momentum=0.0),
    "adam": Recipe(optimizer="adam", learning_rate=1e-2, weight_decay=1e-3),
    "adamw": Recipe(optimizer="adamw", learning_rate=1e-2, weight_decay=1e-1),
}


def update_by_hand(recipe: Recipe, model: torch.nn.Module, images: Tensor, labels: Tensor, steps: int) -> list[float]:
    """The same updates from the papers' formulas, in float64 on plain lists of tensors."""
    model = model.double()
    parameters = list(model.parameters())
    first, second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    losses = []
    for t in range(1, steps + 1):
        loss = F.cross_entropy(model(images.double()), labels, label_smoothing=recipe.label_smoothing)
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for p, g, m, v in zip(parameters, gradients, first, second, strict=True):
                if recipe.optimizer == "adamw":
                    p -= recipe.learning_rate * recipe.weight_decay * p
                else:
                    g = g + recipe.weight_decay * p
                if recipe.optimizer == "sgd":
                    m.mul_(recipe.momentum).add_(g)
                    p -= recipe.learning_rate * (g + recipe.momentum * m)
                else:
                    m.mul_(0.9).add_(g, alpha=0.1)
                    v.mul_(0.999).add_(g * g, alpha=0.001)
                    p -= recipe.learning_rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    return losses


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_steps_are_the_formulas(name: str, device: str) -> None:
    recipe = dataclasses.replace(OPTIMIZERS[name], label_smoothing=0.1)
    step, images, labels = make(recipe, device=device), *batch(device=device)
    losses = [step.step(images, labels).item() for _ in range(5)]
    reference = build(Variant(channels=1), 0).to(device)
    expected = update_by_hand(recipe, reference, images, labels, 5)
    assert losses == pytest.approx(expected, rel=1e-3 if device == "cuda" else 1e-4)


def test_label_smoothing_is_its_formula() -> None:
    images, labels = batch()
    step = make(dataclasses.replace(QUICK, label_smoothing=0.2))
    log_p = F.log_softmax(step.model(images), dim=1)
    expected = -(0.8 * log_p[torch.arange(16), labels] + 0.2 * log_p.mean(1)).mean()
    torch.testing.assert_close(step.loss(images, labels), expected)


def test_a_step_returns_a_detached_loss_and_loss_one_to_differentiate() -> None:
    step, images, labels = make(), *batch()
    assert not step.step(images, labels).requires_grad
    step.optimizer.zero_grad()
    step.loss(images, labels).backward()
    assert all(p.grad is not None for p in step.model.parameters())


def test_modes() -> None:
    step, images, labels = make(variant=Variant(channels=1, normalization="batch")), *batch()
    before = weights(step)
    assert step.infer(images).is_inference()
    assert not step.model.training
    assert all(torch.equal(before[name], value) for name, value in weights(step).items())
    step.step(images, labels)
    assert step.model.training
    assert not torch.equal(before["norm1.running_mean"], weights(step)["norm1.running_mean"])


def test_the_learning_rate_can_be_set() -> None:
    step, images, labels = make(Recipe(optimizer="sgd", momentum=0.0)), *batch()
    before = weights(step)
    step.set_learning_rate(0.0)
    step.step(images, labels)
    assert all(torch.equal(before[name], value) for name, value in weights(step).items())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
@pytest.mark.parametrize("device", DEVICES)
def test_placements_agree(device: str, memory_format: str, dtype: str) -> None:
    images, labels = batch(device=device, channels=3)
    variant = Variant()
    plain = make(variant=variant)
    step = make(variant=variant, device=device, memory_format=memory_format, dtype=dtype)
    tolerance = 1e-3 if (device, dtype) == ("cpu", "float32") else 0.05
    torch.testing.assert_close(
        step.infer(images).float().cpu(), plain.infer(images.cpu()), atol=tolerance, rtol=tolerance
    )
    losses = [(step.step(images, labels).item(), plain.step(images.cpu(), labels.cpu()).item()) for _ in range(5)]
    assert [a for a, _ in losses] == pytest.approx([b for _, b in losses], rel=tolerance)
    assert step.infer(images).dtype == getattr(torch, dtype)
    assert all(p.dtype == torch.float32 for p in step.model.parameters())
    if memory_format == "channels_last":
        assert step.model.conv2.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # torch.compile imports parts of torch that warn of themselves
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize(("device", "backend"), BACKENDS)
def test_backends_agree_and_prepare_leaves_no_trace(device: str, backend: str, optimizer: str) -> None:
    recipe = Recipe(optimizer=optimizer, learning_rate=1e-3)
    variant = Variant(channels=1, normalization="batch")
    step, plain = (make(recipe, variant=variant, device=device, backend=b) for b in (backend, "eager"))
    images, labels = batch(device=device)
    before, random = weights(step), torch.get_rng_state()
    seconds = step.prepare(images, labels)
    assert (seconds > 0) is (backend != "eager")
    assert all(torch.equal(before[name], value) for name, value in weights(step).items())
    assert all(not value.any() for value in step._optimizer_state())
    assert all(p.grad is None for p in step.model.parameters())
    assert torch.equal(random, torch.get_rng_state())
    assert step.model.training
    tolerance = {"rel": 1e-4 if device == "cpu" else 1e-2}
    for rate in (1e-3, 5e-3, 2e-3):
        for each in (step, plain):
            each.set_learning_rate(rate)
        assert step.step(images, labels).item() == pytest.approx(plain.step(images, labels).item(), **tolerance)
    plain.model.load_state_dict(weights(step))  # Adam turns rounding of tiny gradients into steps; start level again
    for shape in (images, images[:3]):  # the prepared shape, and another
        torch.testing.assert_close(step.infer(shape), plain.infer(shape), rtol=1e-2, atol=1e-3)
    for each in (step, plain):
        each.optimizer.zero_grad()
        each.loss(images, labels).backward()
    for ours, theirs in zip(step.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-2, atol=1e-3)


def test_prepare_in_the_middle_of_training_keeps_the_momentum() -> None:
    step, images, labels = make(Recipe()), *batch()
    step.step(images, labels)
    before = [value.clone() for value in step._optimizer_state()]
    with step._unchanged():
        step.step(images, labels)
        torch.rand(3)
    assert before
    for kept, value in zip(before, step._optimizer_state(), strict=True):
        assert torch.equal(kept, value)
