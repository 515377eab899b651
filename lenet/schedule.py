"""Schedules of the learning rate by name: each gives the rate of an update from its number alone.

`learning_rate` gives the rate of one update of a recipe. There is no state and no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from lenet.variant import Recipe

WARM_UP = 0.3  # the share of the updates in which one_cycle rises; this and the next two are torch's defaults
START_DIVISOR = 25.0
END_DIVISOR = 1e4


def constant(update: int, total: int, peak: float) -> float:
    """The peak throughout."""
    return peak


def one_cycle(update: int, total: int, peak: float) -> float:
    """From peak / 25 along a half cosine to the peak after 30 % of the updates, and along another to peak / 250,000.

    Smith and Topin 2017, arXiv:1708.07120, as `torch.optim.lr_scheduler.OneCycleLR`; momentum is not cycled.
    """
    start, top, last = peak / START_DIVISOR, WARM_UP * total - 1, total - 1
    if update <= top:
        return blend(start, peak, update / top)
    return blend(peak, start / END_DIVISOR, (update - top) / (last - top))


def cosine(update: int, total: int, peak: float) -> float:
    """From the peak along a half cosine towards 0 (Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts)."""
    return blend(peak, 0.0, update / total)


STEPS_1998 = ((2 / 20, 1.0), (5 / 20, 0.4), (8 / 20, 0.2), (12 / 20, 0.1), (1.0, 0.02))
"""LeNet-5's rates: the share of the training up to which each factor holds."""


def steps1998(update: int, total: int, peak: float) -> float:
    """Steps to 2/5, 1/5, 1/10 and 1/50 of the peak after 2, 5, 8 and 12 of 20 passes (LeCun et al. 1998, section
    III.B: 5e-4, 2e-4, 1e-4, 5e-5, 1e-5).
    """
    return peak * next(factor for end, factor in STEPS_1998 if update < end * total)


SCHEDULES: dict[str, Callable[[int, int, float], float]] = {
    "constant": constant,
    "one_cycle": one_cycle,
    "cosine": cosine,
    "steps1998": steps1998,
}


def learning_rate(update: int, total: int, recipe: Recipe) -> float:
    """The rate of update number `update` of `total`, counted from 0."""
    return SCHEDULES[recipe.schedule](update, total, recipe.learning_rate)


def blend(start: float, end: float, share: float) -> float:
    """Half a cosine from `start` (share 0) to `end` (share 1)."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
