"""The pictures with a line a trial: one epoch as points, the best of many trials, rejection."""

import dataclasses

import numpy as np
import pytest
from fakes.made_run import make_record, make_run, odd_run
from matplotlib.figure import Figure

from bench.report.curves import CURVES, draw_curves, draw_rejection


def test_one_epoch_is_seen_as_points(tmp_path):
    run = odd_run(tmp_path / "run", "one seed, one epoch, one process")
    figure = Figure(layout="constrained")
    draw_curves(figure, run.records(), [record.key for record in run.records()])
    assert all(line.get_marker() == "o" for axes in figure.axes for line in axes.lines)
    ticks = [tick for tick in figure.axes[0].get_xticks() if 0 < tick < 2]
    assert ticks
    assert all(float(tick).is_integer() for tick in ticks)


def test_of_many_trials_the_best_and_the_last_are_drawn(tmp_path):
    records = [make_record({"epochs": n}, (0.9,), name=f"n{n}") for n in range(2, 14)]
    figure = Figure(layout="constrained")
    draw_curves(figure, records, [record.key for record in records])
    assert [line.get_label() for line in figure.axes[0].lines] == [f"n{n}" for n in (*range(2, 1 + CURVES), 13)]
    assert figure.get_suptitle().endswith("(12 trials; the best 7 and the last)")


def test_a_curve_of_rejection_is_the_share_of_errors_among_the_answered(tmp_path):
    (record,) = make_run(tmp_path / "r", [make_record({"data": "digits"}, (0.99, 0.98))], {}).records()
    seeds = [dataclasses.replace(seed, rejection={"margin": [0, 50]}) for seed in record.seeds]
    figure = Figure(layout="constrained")
    draw_rejection(figure, [dataclasses.replace(record, seeds=seeds)], [record.key])
    refused, errors = figure.axes[0].lines[0].get_data()
    images = 360
    assert errors[0] == pytest.approx(100 * 2 / images)
    assert errors[np.searchsorted(refused, 100 * 1 / images)] == pytest.approx(100 * 1 / (images - 1))
    assert errors[-1] == 0
