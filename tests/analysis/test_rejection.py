"""Error against rejection: curves and shares to the digit, ties, tables, old records."""

import math

import numpy as np
import pytest
import torch
from fakes.tables import build_table
from fakes.tracked_run import make_run

from bench.analysis.rejection import error_curve, rejection_columns, resampled_shares, share_interval, share_to_reject
from bench.experiment.trial import Trial
from bench.records.record import Record, SeedResult
from lenet.training import rank_errors


def test_the_curve_and_the_share_to_the_digit():
    places = [0, 1, 4]  # of 10
    np.testing.assert_allclose(error_curve(places, 10), [3 / 10, 2 / 9, 1 / 8, 1 / 7, 1 / 6, 0, 0, 0, 0, 0])
    assert share_to_reject(places, 10, 0.3) == 0.0
    assert share_to_reject(places, 10, 0.13) == 0.2
    assert share_to_reject(places, 10, 0.01) == 0.5
    assert share_to_reject([], 10, 0.0) == 0.0
    assert share_to_reject([9], 10, 0.05) == 1.0  # the surest answer is wrong: nothing helps


def test_the_curve_is_what_counting_gives():
    generator = torch.Generator().manual_seed(0)
    scores, labels = torch.randn(300, 5, generator=generator), torch.randint(5, (300,), generator=generator)
    places = rank_errors(scores, labels)["margin"]
    best = scores.topk(2, 1).values
    order = (best[:, 0] - best[:, 1]).argsort()
    wrong = (scores.argmax(1) != labels)[order]
    curve = error_curve(places, 300)
    for refused in (0, 1, 57, 150, 299):
        assert curve[refused] == pytest.approx(float(wrong[refused:].float().mean()))


def test_test_sets_drawn_anew_spread_around_the_share():
    generator = np.random.default_rng(0)
    places = np.flatnonzero(generator.random(2_000) < 0.2 * np.exp(-np.arange(2_000) / 300)).tolist()
    shares = resampled_shares(places, 2_000, 0.01, draws=200)
    share = share_to_reject(places, 2_000, 0.01)
    assert shares.min() < share < shares.max()
    assert abs(np.median(shares) - share) < 0.05
    assert (resampled_shares([], 100, 0.01, draws=5) == 0).all()


def record(seeds):
    trial = Trial.from_knobs({"data": "usps"})
    return Record(key=trial.key, name="x", trial=trial.to_dict(), status="ok", seeds=seeds)


def test_columns_are_means_over_seeds_with_their_interval():
    first = {"margin": list(range(100)), "confidence": [2_006]}
    second = {"margin": list(range(140)), "confidence": [2_006]}
    columns = rejection_columns(record([SeedResult(0, rejection=first), SeedResult(1, rejection=second)]))
    # 2,007 images: after 80 refused, 20 of 1,927 are wrong (1.04 %); after 81, 19 of 1,926 (0.99 %).
    assert columns["reject_margin_1pct"] == pytest.approx((81 + 122) / 2 / 2_007)
    assert columns["reject_margin_1pct_low"] == 0.0
    assert columns["reject_confidence_1pct"] == 0.0
    assert columns["reject_margin_05pct"] > columns["reject_margin_1pct"]


def test_old_records_and_failed_seeds_have_no_share():
    assert share_interval(record([SeedResult(0), SeedResult(1)]), "margin", 0.01).n == 0
    failed = SeedResult(0, status="failed", rejection={"margin": [], "confidence": []})
    assert math.isnan(rejection_columns(record([failed]))["reject_margin_1pct"])


def test_a_table_of_old_records_has_the_columns_empty(tmp_path):
    table = build_table([make_run(tmp_path / "run")])
    assert table["reject_margin_1pct"].isna().all()
    assert table["test_accuracy"].notna().all()
