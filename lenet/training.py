"""Trains a network from the first epoch to the last, and evaluates it.

`fit` drives a `TrainingStep` over data that is on its device. It returns the history, accuracies and seconds as a
`Fit`, and leaves the network with the weights of its best epoch. Nothing here reads files, prints or times single
steps.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lenet.data import AUGMENTATIONS, Data, Split
from lenet.losses import LOSSES
from lenet.schedule import learning_rate
from lenet.sdlm import PATTERNS
from lenet.step import TrainingStep
from lenet.variant import SURENESS, ChoiceError, Recipe

DROPOUT_STREAM = 1 << 33
ORDER_STREAM = 1 << 32  # keeps the draws of the images' order apart from those of the weights, which take the bare seed


@dataclass(frozen=True)
class Fit:
    """How a training ended.

    **Arguments:**

    - `status`, `cause`, `reason`: `ok`, or `failed` with cause `diverged` and one line for people.
    - `history`: a mapping an epoch: `epoch` (from 1), `updates` (so far), `learning_rate` (of the last update),
      `train_loss` (mean over the epoch's updates), `validation_loss`, `validation_accuracy` (a share). Non-finite
      numbers are None. Where nothing is held back, the validation's are None and `test_accuracy` is there instead.
    - `best_epoch`: of the highest validation accuracy, the later of two equals, or the last epoch where nothing is held
      back; 0 if the first epoch diverged.
    - `test_accuracy`, `test_loss`: with that epoch's weights; None if the training failed.
    - `train_accuracy`: the same on all images learned from; only where nothing is held back.
    - `rejection`: what `rank_errors` finds on the test images.
    - `train_s`, `evaluate_s`: seconds in optimiser steps, and in evaluation. Compiling and capturing are in neither.
    """

    status: str = "ok"
    cause: str = ""
    reason: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    test_accuracy: float | None = None
    test_loss: float | None = None
    train_accuracy: float | None = None
    rejection: dict[str, list[int]] = field(default_factory=dict)
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
    """Trains, chooses the best epoch on the validation split (or takes the last), and tests that.

    Each epoch passes over the training images in a new order drawn from `seed`; its last, smaller batch is dropped.
    With `recipe.updates` the last epoch ends where that number is reached. A loss that is not finite ends the training
    after the epoch it came up in: looking at every step would make the device wait.

    The same weights, data and seed give the same numbers bit for bit, on one machine at one number of threads: every
    kernel that runs here sums in a fixed order, so torch's global deterministic mode is not needed.

    **Arguments:**

    - `step`: a fresh one, on the data's device. Its network ends with the best epoch's weights.
    - `data`: resident on that device. `recipe`: batch size, length and schedule; the rest of it is in `step`.
    - `seed`: what the order of the images is drawn from.
    - `on_epoch`: called with each entry of the history, outside both times.

    Raises `ChoiceError` if the batch size is larger than the training split.
    """
    per_epoch = len(data.train) // recipe.batch_size
    if per_epoch == 0:
        raise ChoiceError(f"batch_size: {recipe.batch_size} is larger than the {len(data.train)} training images")
    total = recipe.updates or recipe.epochs * per_epoch
    generator = torch.Generator().manual_seed(seed + ORDER_STREAM)
    torch.manual_seed(seed + DROPOUT_STREAM)  # dropout can draw from torch's own generator only
    step.prepare(data.train.images[: recipe.batch_size], data.train.labels[: recipe.batch_size])
    progress = Progress()
    for first in range(0, total, per_epoch):
        updates = range(first, min(first + per_epoch, total))
        diverged = run_epoch(step, data, recipe, generator, updates, total, progress)
        if on_epoch is not None:
            on_epoch(progress.history[-1])
        if diverged:
            where = f"within {updates.stop} updates (epoch {len(progress.history)})"
            return progress.end("failed", "diverged", f"the loss was not finite {where}; try a lower learning_rate")
    started = step.clock()
    if progress.best_weights:
        step.model.load_state_dict(progress.best_weights)
    graded = grade(step, data, recipe)
    progress.evaluate_s += step.clock() - started
    return dataclasses.replace(progress.end(), best_epoch=progress.best_epoch or len(progress.history), **graded)


@dataclass
class Progress:
    """A training under way: what its `Fit` will say, and the weights of the best epoch so far."""

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best_accuracy: float = -1.0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    train_s: float = 0.0
    evaluate_s: float = 0.0

    def end(self, status: str = "ok", cause: str = "", reason: str = "") -> Fit:
        """The `Fit` of a training that ends here, not yet tested."""
        return Fit(
            status, cause, reason, self.history, self.best_epoch, train_s=self.train_s, evaluate_s=self.evaluate_s
        )


def run_epoch(
    step: TrainingStep, data: Data, recipe: Recipe, generator: torch.Generator,
    updates: range, total: int, progress: Progress,
) -> bool:  # fmt: skip
    """Trains for one epoch, evaluates, and notes both in `progress`. Returns whether the training diverged.

    **Arguments:**

    - `updates`: the numbers of the epoch's updates, out of `total`, counted from 0.
    """
    held_back = recipe.selection == "validation"
    started = step.clock()
    train_loss = train_epoch(step, data.train, recipe, generator, updates, total)
    trained = step.clock()
    loss, accuracy = evaluate(step, data.validation if held_back else data.test)
    epoch = len(progress.history) + 1
    entry = {
        "epoch": epoch,
        "updates": updates.stop,
        "learning_rate": learning_rate(updates.stop - 1, total, recipe),
        "train_loss": finite(train_loss.item()),
        "validation_loss": finite(loss) if held_back else None,
        "validation_accuracy": accuracy if held_back else None,
    }
    if not held_back:
        entry["test_accuracy"] = accuracy
    progress.history.append(entry)
    diverged = entry["train_loss"] is None or finite(loss) is None
    if held_back and not diverged and accuracy >= progress.best_accuracy:
        progress.best_epoch, progress.best_accuracy = epoch, accuracy
        progress.best_weights = {name: value.clone() for name, value in step.model.state_dict().items()}
    progress.train_s += trained - started
    progress.evaluate_s += step.clock() - trained
    return diverged


def grade(step: TrainingStep, data: Data, recipe: Recipe) -> dict[str, Any]:
    """What a `Fit` says of the network as it is now: `test_accuracy`, `test_loss`, `train_accuracy`, `rejection`."""
    scores = infer(step, data.test)
    test_loss, test_accuracy = measure(scores, data.test, recipe)
    return {
        "test_accuracy": test_accuracy,
        "test_loss": finite(test_loss),
        "train_accuracy": evaluate(step, data.train)[1] if recipe.selection == "last" else None,
        "rejection": rank_errors(scores, data.test.labels),
    }


def train_epoch(
    step: TrainingStep, train: Split, recipe: Recipe, generator: torch.Generator, updates: range, total: int
) -> Tensor:
    """The updates of one epoch; returns their mean loss, a scalar still on the device."""
    if recipe.optimizer == "sdlm":
        chosen = torch.randperm(len(train), generator=generator)[:PATTERNS].to(step.device)
        step.estimate_curvature(train.images[chosen], train.labels[chosen])
    augment = AUGMENTATIONS.get(recipe.augmentation)
    background = train.images.amin((0, 2, 3)) if augment else None
    order = torch.randperm(len(train), generator=generator).to(step.device)
    loss = torch.zeros((), dtype=torch.float64, device=step.device)
    batches = torch.split(order, recipe.batch_size)
    for update, batch in zip(updates, batches, strict=False):  # the last, smaller batch is dropped
        step.set_learning_rate(learning_rate(update, total, recipe))
        images = train.images.index_select(0, batch)
        if augment is not None and background is not None:
            images = augment(images, background, generator)
        loss += step.step(images, train.labels.index_select(0, batch))
    return loss / len(updates)


def evaluate(step: TrainingStep, split: Split, batch_size: int = 1024) -> tuple[float, float]:
    """Mean loss (without label smoothing) and accuracy (a share in [0, 1]) over a split."""
    return measure(infer(step, split, batch_size), split, step.recipe)


@torch.inference_mode()
def infer(step: TrainingStep, split: Split, batch_size: int = 1024) -> Tensor:
    """The scores (N, classes), float32, of a whole split."""
    # Cloned, because a replayed graph writes every batch to the same place.
    return torch.cat([step.infer(images).float().clone() for images in torch.split(split.images, batch_size)])


def measure(scores: Tensor, split: Split, recipe: Recipe) -> tuple[float, float]:
    """Mean loss (without label smoothing) and accuracy of scores."""
    loss = LOSSES[recipe.loss](scores.double(), split.labels)
    return loss.item(), int((scores.argmax(1) == split.labels).sum()) / len(split)


def finite(value: float) -> float | None:
    """The number, or None if it is NaN or infinite."""
    return value if math.isfinite(value) else None


def rank_errors(scores: Tensor, labels: Tensor) -> dict[str, list[int]]:
    """For each measure of sureness, the places (from 0, least sure first) of the wrongly answered images.

    A network that may reject its least sure answers makes fewer errors on the rest (LeCun et al. 1990). These places
    are all that the curve of error against rejected share needs, and for a good network they are few.

    `margin`: the best score less the second best (LeCun et al. 1990). `confidence`: the softmax of the best score.
    Among equally sure images the wrong ones count as the surest, so that a tie never flatters.

    **Arguments:**

    - `scores`: (N, classes), the highest is the answer. `labels`: int64 (N,).
    """
    scores, labels = scores.detach().cpu().double(), labels.cpu()
    wrong = scores.argmax(1) != labels
    best, second = scores.topk(2, 1).values.unbind(1)
    others = scores.scatter(1, scores.argmax(1, keepdim=True), -torch.inf)
    # The log odds of the answer order images as its softmax does, and do not saturate at 1.
    sureness = {"margin": best - second, "confidence": best - torch.logsumexp(others, 1)}
    ranks = {}
    for name in SURENESS:
        right_first = torch.argsort(wrong, stable=True)
        order = right_first[torch.argsort(sureness[name][right_first], stable=True)]
        ranks[name] = wrong[order].nonzero().flatten().tolist()
    return ranks
