"""Losses against their formulas, written out image by image in plain Python."""

import math

import pytest
import torch
from torch import Tensor

from lenet.losses import FAR, LOSSES, make_loss
from lenet.variant import CHOICES
from lenet.variant import LOSSES as LOSSES_BY_OUTPUT

SCORES = torch.tensor([[2.0, -1.0, 0.5], [-3.0, -0.2, -4.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 2, 1])


def mean_over_images(loss: str, scores: Tensor, labels: Tensor) -> float:
    """The mean of the formula of one image; distances are negative scores."""

    def one_image(row: list[float], label: int) -> float:
        if loss == "cross_entropy":
            return math.log(sum(map(math.exp, row))) - row[label]
        if loss == "mse":
            return sum((score - (1 if place == label else -1)) ** 2 for place, score in enumerate(row)) / len(row)
        if loss == "penalty":  # LeCun et al. 1998, eq. 8
            return -row[label]
        return -row[label] + math.log(math.exp(-FAR) + sum(map(math.exp, row)))  # eq. 9

    pairs = list(zip(scores.tolist(), labels.tolist(), strict=True))
    return sum(one_image(row, label) for row, label in pairs) / len(pairs)


def test_the_names_are_the_recipes() -> None:
    assert set(LOSSES) == CHOICES["loss"] == {name for names in LOSSES_BY_OUTPUT.values() for name in names}


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_loss_is_its_formula(name: str) -> None:
    assert LOSSES[name](SCORES, LABELS).item() == pytest.approx(mean_over_images(name, SCORES, LABELS), rel=1e-12)
    assert make_loss(name)(SCORES, LABELS).item() == LOSSES[name](SCORES, LABELS).item()


def test_label_smoothing_moves_a_share_of_the_target_to_all_classes() -> None:
    smoothed = make_loss("cross_entropy", 0.3)(SCORES, LABELS).item()
    by_class = [mean_over_images("cross_entropy", SCORES, torch.full((3,), label)) for label in range(3)]
    expected = 0.7 * mean_over_images("cross_entropy", SCORES, LABELS) + 0.3 * sum(by_class) / 3
    assert smoothed == pytest.approx(expected, rel=1e-12)


def test_the_discriminative_loss_pushes_wrong_classes_away_where_the_penalty_does_not() -> None:
    for name, pushed in (("penalty", False), ("discriminative", True)):
        scores = SCORES.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(LOSSES[name](scores, LABELS), scores)
        wrong = torch.ones_like(gradient).scatter_(1, LABELS[:, None], 0.0).bool()
        assert bool((gradient[wrong] > 0).all()) is pushed
