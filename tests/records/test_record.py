"""A record: the same after a trip through JSON, refused of an unknown schema."""

import dataclasses

import pytest

from bench.errors import RecordError
from bench.experiment.trial import Trial
from bench.records.record import Record, SeedResult, Timing


def make_record(name="a", status="ok", **changes):
    trial = Trial.from_knobs({"activation": "tanh"})
    return Record(
        key=trial.key, name=name, trial=trial.to_dict(), status=status,
        seeds=[SeedResult(seed=0, history=[{"epoch": 1, "train_loss": None}], test_accuracy=0.5)],
        timing=Timing(samples={"forward": [[0, 0, 10, 0.01, 0.01]]}, stopped="narrow"), **changes,
    )  # fmt: skip


def test_an_unknown_schema_is_refused(tmp_path):
    with pytest.raises(RecordError, match="schema 99"):
        Record.from_dict({**make_record().to_dict(), "schema": 99})


def test_knobs_are_every_knob_of_the_trial_flat():
    assert make_record().knobs() == Trial.from_knobs({"activation": "tanh"}).knobs()


def test_accuracies_are_those_of_the_seeds_that_ended_well():
    seeds = [
        SeedResult(seed=3, test_accuracy=0.9),
        SeedResult(seed=1, test_accuracy=0.0),
        SeedResult(seed=2, status="failed", cause="diverged", test_accuracy=0.8),
        SeedResult(seed=4),
    ]
    assert dataclasses.replace(make_record(), seeds=seeds).accuracies() == {3: 0.9, 1: 0.0}
