"""Findings of records made by hand."""

from pathlib import Path

import pytest

from bench.analysis.claims import (
    DATA_DIFFER,
    NOT_REPRODUCED,
    NOT_RUN,
    ONLY_REMEMBERED,
    REPRODUCED,
    Claim,
    judge,
    read_claims,
)
from bench.analysis.rejection import resampled_shares
from bench.experiment.file import read_experiment
from bench.experiment.trial import KNOBS, Trial
from bench.records.record import Record, SeedResult

ROOT = Path(__file__).parents[2]


EXPERIMENTS = ROOT / "experiments"


def record(architecture, errors, rejection=None, network=None, **knobs):
    """A trial on USPS with one seed an error (in percent of 2,007 test images)."""
    trial = Trial.from_knobs({"data": "usps", **knobs, "architecture": architecture})
    seeds = [
        SeedResult(seed=number, test_accuracy=1 - error / 100, train_accuracy=1.0, rejection=rejection or {})
        for number, error in enumerate(errors)
    ]
    return Record(trial.key, architecture, trial.to_dict(), "ok", seeds=seeds, network=network or {})


def claim(**fields):
    return Claim(text="t", source="s", experiment="x", **fields)


NET = {"architecture": "net1"}


@pytest.mark.parametrize(
    ("errors", "fields", "verdict"),
    [
        ([4.9, 5.0, 5.1], {"published": 5.0}, REPRODUCED),
        ([4.0, 4.1, 4.2], {"published": 5.0}, REPRODUCED),  # wholly better
        ([5.5, 5.6, 5.7], {"published": 5.0}, NOT_REPRODUCED),
        ([4.9], {"published": 5.0}, NOT_REPRODUCED),  # a network with one seed has no interval, whatever the sign
        ([4.9, 5.0, 5.1], {"published": 5.0, "remembered": True}, ONLY_REMEMBERED),
        ([4.9, 5.0, 5.1], {"published": 5.0, "other_data": "others"}, DATA_DIFFER),
        ([0.0, 0.0, 0.0], {"published": 0.5, "measure": "train_error"}, REPRODUCED),
    ],
)
def test_a_figure(errors, fields, verdict):
    finding = judge(claim(trial=NET, **fields), {"x": [record("net1", errors, network={"parameters": 1})]})
    assert finding.verdict == verdict
    assert finding.ours.value == pytest.approx(0.0 if "measure" in fields else sum(errors) / len(errors))


def test_a_method_that_draws_nothing_has_its_interval_over_the_test_images():
    finding = judge(claim(trial={"architecture": "knn3"}, published=5.0), {"x": [record("knn3", [100 * 101 / 2_007])]})
    # Clopper and Pearson for 101 of 2,007.
    assert (finding.ours.low, finding.ours.high) == (pytest.approx(4.117, abs=0.01), pytest.approx(6.083, abs=0.01))
    assert finding.verdict == REPRODUCED
    assert "test images" in finding.note


@pytest.mark.parametrize(("count", "verdict"), [(9_760, REPRODUCED), (9_761, NOT_REPRODUCED)])
def test_a_count_is_exact(count, verdict):
    made = {"x": [record("net1", [1.0], network={"parameters": count})]}
    assert judge(claim(trial=NET, measure="parameters", exact=9_760), made).verdict == verdict


def test_a_rejected_share():
    places = {"margin": list(range(201)), "confidence": []}
    made = {"x": [record("net1", [10.0, 10.0], places)]}
    finding = judge(claim(trial=NET, measure="reject_margin_1pct", published=5.0), made)
    assert finding.ours.value == pytest.approx(100 * 183 / 2_007)  # 18 of the other 1,824 are wrong: 0.99 %
    assert finding.verdict == NOT_REPRODUCED


def test_a_rejected_shares_interval_is_over_the_test_images_too():
    places = {"margin": [*range(150), 160, 190, 240, 300, 380, 500], "confidence": []}  # the last of 2,007 hang on few
    made = record("net1", [8.0, 8.0, 8.0], places)  # three seeds that agree: nothing is left but the images
    finding = judge(claim(trial=NET, measure="reject_margin_1pct", published=9.0), {"x": [made]})
    drawn = resampled_shares(places["margin"], 2_007, 0.01, draws=2_000, random_seed=1)
    assert finding.ours.half_width == pytest.approx(1.96 * 100 * drawn.std(), rel=0.1)
    assert finding.ours.half_width > 0.5
    assert "seeds and test images" in finding.note


def test_an_order_must_be_significant_in_every_pair():
    chain = claim(chain=[{"architecture": name} for name in ("net5", "net4", "net1")])
    clear = {"x": [record("net1", [9.0, 9.2, 9.1]), record("net4", [7.0, 7.1, 7.3]), record("net5", [5.0, 5.2, 5.0])]}
    assert judge(chain, clear).verdict == REPRODUCED
    doubtful = {"x": [*clear["x"][:2], record("net5", [6.0, 7.2, 7.0])]}  # better on average only
    finding = judge(chain, doubtful)
    assert finding.verdict == NOT_REPRODUCED
    assert "net5 against net4: +0.40 [" in finding.note
    assert "net1" not in finding.note
    reversed_ = {"x": [record("net1", [5.0, 5.2, 5.1]), record("net4", [7.0, 7.1, 7.3]), record("net5", [9, 9.1, 9.2])]}
    assert judge(chain, reversed_).verdict == NOT_REPRODUCED


def test_more_pairs_ask_for_more_certainty():
    made = {"x": [record("net5", [5.0, 5.0, 5.0]), record("net1", [5.4, 5.5, 5.6]), *[
        record(name, [9.0, 9.1, 9.2]) for name in ("net2", "net3", "net4")]]}  # fmt: skip
    assert judge(claim(better={"architecture": "net5"}, worse=[NET]), made).verdict == REPRODUCED
    many = claim(better={"architecture": "net5"}, worse=[{"architecture": f"net{number}"} for number in (1, 2, 3, 4)])
    assert judge(many, made).verdict == NOT_REPRODUCED


def test_a_single_seed_stands_for_all_of_the_other_side_and_two_singles_say_nothing():
    pair = claim(better={"architecture": "net5"}, worse=[{"experiment": "y", "architecture": "knn3"}])
    made = {"x": [record("net5", [2.0, 2.1, 2.2])], "y": [record("knn3", [5.0])]}
    finding = judge(pair, made)
    assert (finding.verdict, round(finding.ours.value, 6)) == (REPRODUCED, 2.9)
    assert judge(pair, {"x": [record("net5", [2.0])], "y": made["y"]}).verdict == NOT_REPRODUCED


def test_what_was_not_run_says_so():
    figure = claim(trial=NET, published=1.0)
    assert judge(figure, {}).note == "no run of x"
    assert judge(figure, {"x": [record("net2", [1.0])]}).note == "net1 is missing in x"
    assert judge(figure, {}).verdict == NOT_RUN
    order = claim(chain=[{"architecture": "net5"}, NET])
    assert judge(order, {"x": [record("net5", [1.0, 2.0])]}).verdict == NOT_RUN


def test_the_file_names_trials_that_its_experiments_have():
    claims = read_claims()
    experiments = {name: read_experiment(EXPERIMENTS / f"{name}.toml") for c in claims for name in c.experiments}
    for one in claims:
        assert one.source
        assert sum((one.published is not None, one.exact is not None, bool(one.pairs))) == 1, one.text
        for knobs in [one.trial] if not one.pairs else [side for pair in one.pairs for side in pair]:
            experiment = experiments[str(knobs.get("experiment", one.experiment))]
            wanted = {knob: value for knob, value in knobs.items() if knob != "experiment"}
            assert wanted.keys() <= KNOBS.keys()
            assert "data" in wanted, one.text  # or a run with --set data=... would be held against the figure
            matching = [n.name for n in experiment.trials if wanted.items() <= n.trial.knobs().items()]
            assert len(matching) == 1, (one.text, matching)
