"""Repeats of a trial: accuracies by seed, and a process's time as the median over its rounds."""

import math
from pathlib import Path

import pytest
from fakes.made_run import make_record

from bench.analysis.repeats import Repeats, mean, process_medians, process_rounds

BLOCKS = [[0, 0, 10, 0.01, 0.0], [1, 0, 20, 0.06, 0.0], [0, 1, 10, 0.03, 0.0], [0, 2, 5, 0.06, 0.0]]


def test_rounds_are_seconds_of_one_iteration_by_process():
    assert process_rounds(BLOCKS) == {0: pytest.approx([0.001, 0.003, 0.012]), 1: pytest.approx([0.003])}
    assert process_rounds([]) == {}


def test_a_process_is_the_median_of_its_rounds():
    assert process_medians(BLOCKS) == {0: pytest.approx(0.003), 1: pytest.approx(0.003)}
    assert process_medians([*BLOCKS, [1, 1, 1, 0.005, 0.0]])[1] == pytest.approx(0.004)  # of two, the middle


def test_the_repeats_of_a_record():
    record = make_record({"activation": "tanh"}, (0.9, 0.7), (1e-3, 4e-3))
    repeats = Repeats.of(record, Path("r1"))
    assert (repeats.run, repeats.key, repeats.ok) == (Path("r1"), record.key, True)
    assert repeats.knobs["activation"] == "tanh"
    assert repeats.seeds == {0: 0.9, 1: 0.7}
    assert repeats.accuracy == pytest.approx(0.8)
    assert repeats.processes == {0: pytest.approx(math.log(1e-3)), 1: pytest.approx(math.log(4e-3))}
    assert repeats.log_step == pytest.approx(math.log(2e-3))
    assert set(repeats.times) == {"forward", "backward", "step"}


def test_what_was_neither_trained_nor_timed_has_no_repeats():
    repeats = Repeats.of(make_record({}, status="failed"), Path("r1"))
    assert (repeats.ok, repeats.seeds, repeats.times, repeats.processes) == (False, {}, {}, {})
    assert math.isnan(repeats.accuracy)
    assert math.isnan(repeats.log_step)


def test_the_mean_of_nothing_is_unknown():
    assert mean([1, 2, 6]) == 3
    assert math.isnan(mean([]))
