"""Does the head learn worse? Verdicts on scripted trainings, and how many of them are needed."""

import numpy as np
import pytest
from fakes.scripted_pairs import Scripted, decide_scripted, made_training, made_trainings, normal

from bench.gate.accuracy import judge_accuracies, run_trainings
from bench.gate.decision import PASS, REGRESSION
from bench.gate.settings import Settings
from bench.verdicts.verdict import FAILED, SAME, UNKNOWN

QUIET = normal(0.01)


def test_a_drop_of_the_accuracy_beyond_the_margin_fails_the_gate():
    trained = made_trainings([0.01] * 12)
    decision = decide_scripted(Scripted(QUIET), trained=trained)
    assert (decision.outcome, decision.why) == (REGRESSION, "accuracy of one worse")
    assert decision.accuracies[0]["difference"] == pytest.approx(-0.01)
    assert decision.accuracies[0]["seeds"] == 12


@pytest.mark.parametrize("drops", [[0.0] * 12, [0.004] * 12, [-0.02] * 12, [0.03, -0.03] * 6])
def test_no_drop_a_small_one_or_noise_passes(drops):
    decision = decide_scripted(Scripted(QUIET), trained=made_trainings(drops))
    assert (decision.outcome, decision.accuracies[0]["verdict"]) == (PASS, SAME)


def test_one_trial_that_learns_worse_is_found_among_others():
    random = np.random.default_rng(1)
    trained = {"base": [], "head": []}
    for name in ("a", "b", "c", "d"):
        for side, rows in made_trainings([0.012 if name == "c" else 0.0] * 12, name=name, random=random).items():
            trained[side] += rows
    found = {one["name"]: one["verdict"] for one in judge_accuracies(Settings(), trained)}
    assert found == {"a": SAME, "b": SAME, "c": "worse", "d": SAME}


def test_a_training_that_only_fails_on_head_fails_and_one_that_never_worked_is_open():
    trained = made_trainings([0.0] * 12)
    trained["head"][3] = made_training("one", 3, None, "diverged")
    decision = decide_scripted(Scripted(QUIET), trained=trained)
    assert (decision.outcome, decision.accuracies[0]["verdict"]) == (REGRESSION, FAILED)
    assert decision.accuracies[0]["note"] == "learns on base, fails on head: diverged"
    never = {side: [made_training("one", seed, None, "diverged") for seed in range(12)] for side in ("base", "head")}
    decision = decide_scripted(Scripted(QUIET), trained=never)
    assert (decision.outcome, decision.accuracies[0]["verdict"]) == (PASS, UNKNOWN)


def test_a_seed_that_base_alone_could_not_train_is_left_out():
    trained = made_trainings([0.01] * 12)
    trained["base"][0] = made_training("one", 0, None, "diverged")
    assert judge_accuracies(Settings(), trained)[0]["seeds"] == 11


def train_as_scripted(scores):
    """Trains in rounds what `scores` hold already; returns what was trained."""
    asked = [{"name": one["name"], "seed": one["seed"]} for one in scores["base"]]

    def answer(some):
        wanted = {(one["name"], one["seed"]) for one in some}
        return {side: [one for one in rows if (one["name"], one["seed"]) in wanted] for side, rows in scores.items()}

    return run_trainings(Settings(), asked, answer)


def test_what_learns_alike_to_the_bit_is_trained_with_a_third_of_the_seeds():
    assert len(train_as_scripted(made_trainings([0.0] * 12))["base"]) == 4
    assert len(train_as_scripted(made_trainings([0.01] * 12))["head"]) == 12


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 1.0])
def test_training_no_further_than_needed_changes_no_verdict(share):
    random, found = np.random.default_rng(2), []
    for _ in range(40):
        trained = {"base": [], "head": []}
        for name in ("a", "b", "c"):
            dropped = random.choice([0.0, 0.012, -0.01], size=12, p=[(1 - share) / 2, share, (1 - share) / 2])
            for side, rows in made_trainings(dropped, name=name, random=random).items():
                trained[side] += rows
        whole, needed = (
            {one["name"]: one["verdict"] for one in judge_accuracies(Settings(), scores)}
            for scores in (trained, train_as_scripted(trained))
        )
        assert needed == whole
        found += whole.values()
    assert ("worse" in found) == (share > 0.5)
    assert (SAME in found) == (share < 1)


def test_one_trial_that_drops_has_all_of_them_trained_to_the_end():
    trained = made_trainings([0.0] * 12)
    for side, rows in made_trainings([0.01] * 12, name="two").items():
        trained[side] += rows
    assert {side: len(rows) for side, rows in train_as_scripted(trained).items()} == {"base": 24, "head": 24}


def test_a_failing_training_is_found_in_rounds_too():
    trained = made_trainings([0.0] * 12)
    trained["head"][3] = made_training("one", 3, None, "diverged")
    assert judge_accuracies(Settings(), train_as_scripted(trained))[0]["verdict"] == FAILED
