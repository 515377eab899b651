"""Training: what a step does, on every backend; schedules; that learning happens, fails and repeats as it should."""

import dataclasses
import hashlib
import json
import math
import shutil
import subprocess
import sys
import textwrap
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lenet.data import Data, Split, load, synthesize
from lenet.networks import build
from lenet.schedule import learning_rate
from lenet.step import TrainingStep
from lenet.training import evaluate, fit
from lenet.variant import CHOICES, ChoiceError, Recipe, Variant

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=CUDA)]
COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++ on the CPU")
BACKENDS = [
    ("cpu", "eager"),
    pytest.param("cpu", "compiled", marks=COMPILER),
    pytest.param("cuda", "eager", marks=CUDA),
    pytest.param("cuda", "compiled", marks=CUDA),
    pytest.param("cuda", "cuda_graph", marks=CUDA),
]
QUICK = Recipe(epochs=4, optimizer="adam", learning_rate=2e-3)


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits", input_size=32)


def batch(size: int = 16, device: str = "cpu", channels: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(size, channels, 32, 32, generator=generator)
    return images.to(device), torch.randint(10, (size,), generator=generator).to(device)


def make(recipe: Recipe = QUICK, seed: int = 0, variant: Variant | None = None, **placement: str) -> TrainingStep:
    return TrainingStep(build(variant or Variant(channels=1), seed), recipe, **placement)


def weights(step: TrainingStep) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in step.model.state_dict().items()}


# --- schedules ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [2, 3, 4, 7, 10, 57, 1000])
def test_one_cycle_is_torchs(total: int) -> None:
    recipe = Recipe(schedule="one_cycle", learning_rate=0.3)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.3, total_steps=total, cycle_momentum=False)
    for update in range(total):
        assert learning_rate(update, total, recipe) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        if update < total - 1:
            schedule.step()


@pytest.mark.parametrize("total", [1, 5, 100])
def test_cosine_is_torchs(total: int) -> None:
    recipe = Recipe(schedule="cosine", learning_rate=0.3)
    for update in range(total):
        expected = 0.3 * (1 + math.cos(math.pi * update / total)) / 2
        assert learning_rate(update, total, recipe) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("schedule", sorted(CHOICES["schedule"]))
def test_a_schedule_stays_between_zero_and_the_peak(schedule: str) -> None:
    recipe = Recipe(schedule=schedule, learning_rate=0.3)
    for total in (1, 2, 3, 50):
        rates = [learning_rate(update, total, recipe) for update in range(total)]
        assert all(0 < rate <= 0.3 * (1 + 1e-12) for rate in rates)
        if schedule == "constant":
            assert rates == [0.3] * total


# --- one step ----------------------------------------------------------------------------------------------------

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


# --- fit ---------------------------------------------------------------------------------------------------------


def test_digits_are_learned_in_a_few_epochs(digits: Data) -> None:
    seen: list[dict[str, Any]] = []
    step = make()
    result = fit(step, digits, QUICK, 0, on_epoch=seen.append)
    assert (result.status, result.cause, result.reason) == ("ok", "", "")
    assert result.test_accuracy is not None
    assert result.test_accuracy > 0.9
    assert seen == result.history
    assert [entry["epoch"] for entry in seen] == [1, 2, 3, 4]
    assert [entry["updates"] for entry in seen] == [19, 38, 57, 76]
    assert seen[-1]["learning_rate"] == learning_rate(75, 76, QUICK)
    assert seen[-1]["train_loss"] < seen[0]["train_loss"]
    assert min(result.train_s, result.evaluate_s) > 0
    # the network holds the weights that were tested, and the best epoch is the later of equals
    assert evaluate(step, digits.test) == (result.test_loss, result.test_accuracy)
    accuracies = [entry["validation_accuracy"] for entry in seen]
    assert result.best_epoch == max(n for n, accuracy in enumerate(accuracies, 1) if accuracy == max(accuracies))
    assert evaluate(step, digits.validation)[1] == max(accuracies)
    json.dumps(result.history, allow_nan=False)


@pytest.mark.parametrize("schedule", sorted(CHOICES["schedule"]))
@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 0.02), ("adam", 2e-3), ("adamw", 2e-3)])
def test_every_optimizer_and_schedule_learns(digits: Data, optimizer: str, rate: float, schedule: str) -> None:
    recipe = Recipe(epochs=5, batch_size=32, optimizer=optimizer, learning_rate=rate, schedule=schedule)
    result = fit(make(recipe), digits, recipe, 0)
    assert result.test_accuracy is not None
    assert result.test_accuracy > 0.8


@pytest.mark.parametrize("init", ["zeros", "uniform01"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_two_schemes_fail_to_learn(digits: Data, init: str, optimizer: str) -> None:
    recipe = Recipe(epochs=3, optimizer=optimizer, learning_rate=2e-3 if optimizer == "adam" else 0.02)
    result = fit(make(recipe, variant=Variant(channels=1, init=init)), digits, recipe, 0)
    assert result.status == "ok"
    assert result.test_accuracy is not None
    assert result.test_accuracy < 0.2


def test_divergence_ends_the_training_and_keeps_its_history(digits: Data) -> None:
    recipe = Recipe(epochs=5, learning_rate=1e6, schedule="constant")
    result = fit(make(recipe), digits, recipe, 0)
    assert (result.status, result.cause) == ("failed", "diverged")
    assert "learning_rate" in result.reason
    assert "\n" not in result.reason
    assert len(result.history) == 1
    assert result.history[0]["train_loss"] is None
    assert (result.best_epoch, result.test_accuracy, result.test_loss) == (0, None, None)
    json.dumps(result.history, allow_nan=False)


def test_a_late_divergence_keeps_the_epochs_before_it(digits: Data) -> None:
    step, recipe = make(), dataclasses.replace(QUICK, epochs=3)

    def spoil(entry: dict[str, Any]) -> None:
        if entry["epoch"] == 2:
            with torch.no_grad():
                step.model.fc3.bias.fill_(math.nan)

    result = fit(step, digits, recipe, 0, on_epoch=spoil)
    assert result.status == "failed"
    assert [entry["train_loss"] is None for entry in result.history] == [False, False, True]
    assert result.best_epoch in (1, 2)


@pytest.mark.parametrize(("updates", "ends"), [(0, [19, 38]), (5, [5]), (19, [19]), (20, [19, 20]), (57, [19, 38, 57])])
def test_updates_replace_epochs(digits: Data, updates: int, ends: list[int]) -> None:
    recipe = Recipe(epochs=2, updates=updates, optimizer="adam", learning_rate=1e-3)
    step = make(recipe)
    result = fit(step, digits, recipe, 0)
    assert [entry["updates"] for entry in result.history] == ends
    assert int(next(iter(step.optimizer.state.values()))["step"]) == ends[-1] == recipe.total_updates


def test_every_image_is_seen_once_an_epoch() -> None:
    images = torch.arange(10.0).reshape(10, 1, 1, 1).expand(10, 1, 32, 32)
    split = Split(images, torch.arange(10))
    seen: list[list[int]] = []

    class Recorder(TrainingStep):
        def step(self, images: Tensor, labels: Tensor) -> Tensor:
            assert torch.equal(images[:, 0, 0, 0].long(), labels)
            seen.append(labels.tolist())
            return super().step(images, labels)

    recipe = Recipe(batch_size=3, epochs=2)
    fit(Recorder(build(Variant(channels=1), 0), recipe), Data(split, split, split), recipe, 0)
    first, second = ([n for labels in part for n in labels] for part in (seen[:3], seen[3:]))
    assert len(seen) == 6  # ten images are three batches of three; one is left out
    assert len(set(first)) == len(set(second)) == 9
    assert first != second


def test_a_batch_larger_than_the_data_is_refused() -> None:
    data = synthesize(1, 10, 32, images=20)
    with pytest.raises(ChoiceError, match="batch_size: 64 is larger than the 20 training images"):
        fit(make(), data, QUICK, 0)


@pytest.mark.parametrize("batch_size", [1, 7, 180, 1024])
def test_evaluation_does_not_depend_on_its_batches(digits: Data, batch_size: int) -> None:
    step, split = make(), digits.validation
    loss, accuracy = evaluate(step, split, batch_size)
    with torch.no_grad():
        logits = step.model(split.images)
    assert loss == pytest.approx(F.cross_entropy(logits, split.labels).item(), rel=1e-5)
    assert accuracy == (logits.argmax(1) == split.labels).sum().item() / 180


# --- the same seed, the same numbers --------------------------------------------------------------------------------

REPEAT = """
    import hashlib, sys, torch
    from lenet.data import load
    from lenet.networks import build
    from lenet.step import TrainingStep
    from lenet.training import fit
    from lenet.variant import Recipe, Variant
    device, dtype, threads, seed = sys.argv[1:]
    torch.set_num_threads(int(threads))
    recipe = Recipe(epochs=2, optimizer="sgd", learning_rate=0.02)
    variant = Variant(channels=1, normalization="batch")
    step = TrainingStep(build(variant, int(seed)), recipe, device=device, dtype=dtype)
    result = fit(step, load("digits", input_size=32, device=device), recipe, int(seed))
    state = step.model.state_dict().values()
    weights = hashlib.sha256(b"".join(value.cpu().numpy().tobytes() for value in state)).hexdigest()
    print(weights, result.history, result.test_loss)
    """


def repeat(device: str, dtype: str, threads: int, seed: int) -> str:
    command = [sys.executable, "-c", textwrap.dedent(REPEAT), device, dtype, str(threads), str(seed)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("device", DEVICES)
def test_two_processes_get_the_same_bits(device: str, dtype: str, threads: int) -> None:
    first = repeat(device, dtype, threads, 3)
    assert len(first.split()[0]) == 64
    assert first == repeat(device, dtype, threads, 3)
    if (device, dtype, threads) == ("cpu", "float32", 1):
        assert first != repeat(device, dtype, threads, 4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("backend", ["eager", pytest.param("cuda_graph", marks=CUDA)])
def test_one_process_gets_the_same_bits(digits: Data, backend: str, dtype: str) -> None:
    device = "cuda" if backend == "cuda_graph" else "cpu"
    data = load("digits", input_size=32, device=device)
    results = []
    for disturbance in (1, 2):
        torch.manual_seed(disturbance)
        torch.rand(disturbance)
        step = make(device=device, backend=backend, dtype=dtype)
        result = fit(step, data, QUICK, 0)
        digest = hashlib.sha256(b"".join(value.numpy().tobytes() for value in weights(step).values())).hexdigest()
        results.append((digest, result.history, result.test_loss))
    assert results[0] == results[1]
