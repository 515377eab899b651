"""The methods that are no networks: each has a name, and learns."""

import pytest

from lenet.architectures import ARCHITECTURES
from lenet.baselines import BASELINES, fit_baseline
from lenet.data import load
from lenet.variant import Form


def test_each_has_a_name_that_a_trial_can_ask_for():
    assert set(BASELINES) == {name for name, described in ARCHITECTURES.items() if not described.is_network}


@pytest.mark.parametrize("name", BASELINES)
def test_it_learns_the_digits(name):
    result = fit_baseline(name, load("digits", form=Form(16, validation=False)), seed=0)
    assert result.status == "ok"
    assert result.test_accuracy > 0.9
    wrong = round((1 - result.test_accuracy) * 360)
    for places in result.rejection.values():
        assert len(places) == wrong
        # Errors are among the less sure answers: on average in the lower half.
        assert sum(places) / len(places) < 180
