"""Whole trainings: that learning happens, fails as it should, and repeats to the bit."""

import dataclasses
import hashlib
import json
import math
import subprocess
import sys
import textwrap
from typing import Any

import pytest
import torch
from fakes.made_steps import CUDA, DEVICES, QUICK, make, weights
from torch import Tensor
from torch.nn import functional as F

from lenet.data import Data, Split, load, synthesize
from lenet.networks import build
from lenet.schedule import learning_rate
from lenet.step import TrainingStep
from lenet.training import evaluate, fit, rank_errors
from lenet.variant import CHOICES, ChoiceError, Recipe, Variant


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits", input_size=32)


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
@pytest.mark.parametrize(
    ("optimizer", "rate"),
    [("sgd", 0.02), *(pytest.param(name, 2e-3, marks=pytest.mark.slow) for name in ("adam", "adamw"))],
)
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


@pytest.mark.slow
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


# Errors by sureness ---------------------------------------------------------------------------------------------------


def test_errors_are_placed_by_margin_and_by_confidence():
    # Margins 3, 0.5, 2, 1; the second and the third are wrong.
    scores = torch.tensor([[3.0, 0.0, -9.0], [0.0, 0.5, -9.0], [2.0, 0.0, -9.0], [1.0, 0.0, -9.0]])
    labels = torch.tensor([0, 0, 1, 0])
    assert rank_errors(scores, labels) == {"margin": [0, 2], "confidence": [0, 2]}


def test_confidence_looks_at_all_classes_where_the_margin_looks_at_two():
    scores = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.0, -9.0]])  # the first has the larger margin, and two rivals
    assert rank_errors(scores, torch.tensor([1, 0])) == {"margin": [1], "confidence": [0]}


def test_sure_answers_stay_in_order_where_a_softmax_would_be_1():
    scores = torch.tensor([[60.0, 0.0], [50.0, 0.0], [55.0, 0.0]])
    assert rank_errors(scores, torch.tensor([0, 1, 0])) == {"margin": [0], "confidence": [0]}
    assert rank_errors(scores, torch.tensor([1, 0, 0])) == {"margin": [2], "confidence": [2]}


def test_among_equals_the_wrong_ones_count_as_the_surest():
    scores = torch.tensor([[1.0, 0.0]] * 4)
    assert rank_errors(scores, torch.tensor([1, 0, 1, 0]))["margin"] == [2, 3]
