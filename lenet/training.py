"""Training from the first epoch to the last, and evaluation.

A `TrainingStep`, a recipe and tensors resident on the device go in; a history, accuracies and seconds come out, and the
network holds the weights of its best epoch. Nothing here reads files, prints or times single steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lenet.data import Data, Split
from lenet.schedule import learning_rate
from lenet.step import TrainingStep
from lenet.variant import ChoiceError, Recipe

__all__ = ["Fit", "TrainingStep", "evaluate", "fit", "learning_rate"]

ORDER_STREAM = 1 << 32  # keeps the draws of the images' order apart from those of the weights, which take the bare seed


@dataclass(frozen=True)
class Fit:
    """How a training ended.

    **Arguments:**

    - `status`, `cause`, `reason`: `ok`, or `failed` with cause `diverged` and one line for people.
    - `history`: a mapping an epoch: `epoch` (from 1), `updates` (so far), `learning_rate` (of the last update),
      `train_loss` (mean over the epoch's updates), `validation_loss`, `validation_accuracy` (a share). Non-finite
      numbers are None.
    - `best_epoch`: of the highest validation accuracy, the later of two equals; 0 if the first epoch diverged.
    - `test_accuracy`, `test_loss`: with that epoch's weights; None if the training failed.
    - `train_s`, `evaluate_s`: seconds in optimiser steps, and in evaluation. Compiling and capturing are in neither.
    """

    status: str = "ok"
    cause: str = ""
    reason: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    test_accuracy: float | None = None
    test_loss: float | None = None
    train_s: float = 0.0
    evaluate_s: float = 0.0


def fit(
    step: TrainingStep,
    data: Data,
    recipe: Recipe,
    seed: int,
    *,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> Fit:
    """Trains, chooses the best epoch on the validation split, and tests that.

    Each epoch passes over the training images in a new order drawn from `seed`; its last, smaller batch is dropped.
    With `recipe.updates` the last epoch ends where that number is reached. A loss that is not finite ends the training
    after the epoch it came up in: looking at every step would make the device wait.

    The same weights, data and seed give the same numbers bit for bit, on one machine at one number of threads: every
    kernel that runs here sums in a fixed order, so torch's global deterministic mode is not needed.

    **Arguments:**

    - `step`: a fresh one, on the data's device. Its network ends with the best epoch's weights.
    - `data`: resident on that device.
    - `recipe`: batch size, length and schedule. The rest of it is in `step`.
    - `seed`: what the order of the images is drawn from.
    - `on_epoch`: called with each entry of the history, outside both times.

    Raises `ChoiceError` if the batch size is larger than the training split.
    """
    per_epoch = len(data.train) // recipe.batch_size
    if per_epoch == 0:
        raise ChoiceError(f"batch_size: {recipe.batch_size} is larger than the {len(data.train)} training images")
    total = recipe.updates or recipe.epochs * per_epoch
    generator = torch.Generator().manual_seed(seed + ORDER_STREAM)
    step.prepare(data.train.images[: recipe.batch_size], data.train.labels[: recipe.batch_size])
    history: list[dict[str, Any]] = []
    best: dict[str, Any] = {"epoch": 0, "accuracy": -1.0, "weights": {}}
    updates, train_s, evaluate_s = 0, 0.0, 0.0
    while updates < total:
        started = step.clock()
        last = min(updates + per_epoch, total)
        train_loss = train_epoch(step, data.train, recipe, generator, range(updates, last), total)
        trained = step.clock()
        validation_loss, validation_accuracy = evaluate(step, data.validation)
        entry = {
            "epoch": len(history) + 1,
            "updates": last,
            "learning_rate": learning_rate(last - 1, total, recipe),
            "train_loss": finite(train_loss.item()),
            "validation_loss": finite(validation_loss),
            "validation_accuracy": validation_accuracy,
        }
        history.append(entry)
        updates = last
        diverged = entry["train_loss"] is None or entry["validation_loss"] is None
        if not diverged and validation_accuracy >= best["accuracy"]:
            weights = {name: value.clone() for name, value in step.model.state_dict().items()}
            best = {"epoch": entry["epoch"], "accuracy": validation_accuracy, "weights": weights}
        train_s += trained - started
        evaluate_s += step.clock() - trained
        if on_epoch is not None:
            on_epoch(entry)
        if diverged:
            reason = (
                f"the loss was not finite within {last} updates (epoch {entry['epoch']}); try a lower learning_rate"
            )
            return Fit("failed", "diverged", reason, history, best["epoch"], train_s=train_s, evaluate_s=evaluate_s)
    started = step.clock()
    step.model.load_state_dict(best["weights"])
    test_loss, test_accuracy = evaluate(step, data.test)
    evaluate_s += step.clock() - started
    return Fit("ok", "", "", history, best["epoch"], test_accuracy, finite(test_loss), train_s, evaluate_s)


def train_epoch(
    step: TrainingStep, train: Split, recipe: Recipe, generator: torch.Generator, updates: range, total: int
) -> Tensor:
    """The updates of one epoch; returns their mean loss, a scalar still on the device."""
    order = torch.randperm(len(train), generator=generator).to(step.device)
    loss = torch.zeros((), dtype=torch.float64, device=step.device)
    batches = torch.split(order, recipe.batch_size)
    for update, batch in zip(updates, batches, strict=False):  # the last, smaller batch is dropped
        step.set_learning_rate(learning_rate(update, total, recipe))
        loss += step.step(train.images.index_select(0, batch), train.labels.index_select(0, batch))
    return loss / len(updates)


@torch.inference_mode()
def evaluate(step: TrainingStep, split: Split, batch_size: int = 1024) -> tuple[float, float]:
    """Mean cross-entropy (without label smoothing) and accuracy (a share in [0, 1]) over a split."""
    loss = torch.zeros((), dtype=torch.float64, device=step.device)
    right = torch.zeros((), dtype=torch.int64, device=step.device)
    for images, labels in zip(
        torch.split(split.images, batch_size), torch.split(split.labels, batch_size), strict=True
    ):
        logits = step.infer(images).float()
        loss += F.cross_entropy(logits, labels, reduction="sum")
        right += (logits.argmax(1) == labels).sum()
    return loss.item() / len(split), right.item() / len(split)


def finite(value: float) -> float | None:
    """The number, or None if it is NaN or infinite."""
    return value if math.isfinite(value) else None
