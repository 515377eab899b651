"""Losses by name: functions of scores (N, classes) and labels int64 (N,) that return a scalar.

Scores are a network's outputs: logits, squashed outputs, or negative squared distances. The highest is the answer.
`lenet.variant.LOSSES` says which losses go with which kind of output.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor], Tensor]

FAR = 1.0
"""The j of LeCun et al. 1998, eq. 9, which the paper only calls positive: wrong classes further off than about j are
not pushed away any more."""


def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """The mean negative log softmax of the right class."""
    return F.cross_entropy(scores, labels)


def mse(scores: Tensor, labels: Tensor) -> Tensor:
    """The mean squared difference, over images and classes, from +1 for the right class and -1 for the others."""
    targets = torch.full_like(scores, -1.0).scatter_(1, labels[:, None], 1.0)
    return F.mse_loss(scores, targets)


def penalty(scores: Tensor, labels: Tensor) -> Tensor:
    """The mean squared distance from the right class's code (LeCun et al. 1998, eq. 8)."""
    return -scores.gather(1, labels[:, None]).mean()


def discriminative(scores: Tensor, labels: Tensor) -> Tensor:
    """The penalty, plus log(exp(-j) + sum over classes of exp(-distance)) (LeCun et al. 1998, eq. 9).

    The second term pushes the wrong classes away, and with it codes cannot collapse.
    """
    rubbish = scores.new_full((len(scores), 1), -FAR)
    return penalty(scores, labels) + torch.logsumexp(torch.cat([scores, rubbish], 1), 1).mean()


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "mse": mse,
    "penalty": penalty,
    "discriminative": discriminative,
}


def make_loss(name: str, label_smoothing: float = 0.0) -> Loss:
    """The loss of that name; smoothing is for the cross-entropy alone, as `lenet.variant.Recipe` checks."""
    if label_smoothing:
        return lambda scores, labels: F.cross_entropy(scores, labels, label_smoothing=label_smoothing)
    return LOSSES[name]
