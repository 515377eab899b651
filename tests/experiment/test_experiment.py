"""An experiment's settings: defaults, types, and that nothing can be changed afterwards."""

import dataclasses

import pytest
from pydantic import ValidationError

from bench.experiment.experiment import ExperimentFile, Limits, TimingSettings
from bench.experiment.file import check
from bench.experiment.trial import PHASES


def test_every_phase_is_timed_unless_the_file_says_otherwise():
    assert tuple(TimingSettings().phases) == PHASES
    assert TimingSettings(phases=["step"]).phases == ["step"]


@pytest.mark.parametrize(
    "values",
    [{"processes": 0}, {"rounds": 2.5}, {"rounds": True}, {"phases": []}, {"phases": ["sleep"]}, {"target_ci": 1.0},
     {"block_ms": 0}, {"budget_s": -1}, {"enabled": "yes"}, {"nonsense": 1}],
)  # fmt: skip
def test_timing_settings_of_no_use_are_refused(values):
    with pytest.raises(ValidationError):
        TimingSettings(**values)


def test_a_whole_number_of_seconds_or_milliseconds_is_one():
    assert TimingSettings(block_ms=10, budget_s=60).block_ms == 10.0
    assert Limits(seed_s=5).seed_s == 5.0


def test_what_is_asked_cannot_be_changed():
    experiment = check({"name": "x"})
    with pytest.raises(dataclasses.FrozenInstanceError):
        experiment.name = "y"
    with pytest.raises(ValidationError):
        experiment.timing.rounds = 1
    with pytest.raises(ValidationError):
        ExperimentFile(seeds=2).seeds = 3
