"""The learning rate of every update: torch's schedules to the digit, and bounds that all keep."""

import math

import pytest
import torch

from lenet.schedule import learning_rate
from lenet.variant import CHOICES, Recipe


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
