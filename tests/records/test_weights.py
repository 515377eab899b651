"""Which weights of a sweep are kept: one seed's of the most accurate trial."""

import pytest

from bench.records.record import SeedResult
from bench.records.weights import Weights


def results(*accuracies, validation=(0.5, 0.9, 0.7), status="ok"):
    return {
        seed: SeedResult(seed=seed, status=status, test_accuracy=accuracy, best_epoch=1,
                         history=[{"validation_accuracy": validation[seed]}])
        for seed, accuracy in enumerate(accuracies)
    }  # fmt: skip


@pytest.fixture
def weights(tmp_path):
    return Weights(tmp_path / "weights")


def train(weights, key, seeds):
    for seed in seeds:
        weights.path(key, seed).write_text(f"{key} {seed}")


def kept(weights):
    return sorted(file.read_text() for file in weights.folder.iterdir())


def test_the_best_trials_best_seed_on_validation_images_is_kept(weights):
    for key, accuracies in (("a", (0.9, 0.9, 0.9)), ("b", (0.8, 1.0, 0.95)), ("c", (0.1, 0.99, 0.99))):
        train(weights, key, range(3))
        weights.settle(key, results(*accuracies))
    assert kept(weights) == ["b 1"]
    path, seed = weights.find("b")
    assert (path.read_text(), seed) == ("b 1", 1)
    assert weights.find("a") is None


def test_equals_are_all_kept_and_a_resumed_run_goes_on_from_the_files(weights):
    train(weights, "a", range(2))
    weights.settle("a", results(0.9, 0.9))
    train(weights, "b", range(2))
    Weights(weights.folder).settle("b", results(0.9, 0.9))
    assert kept(weights) == ["a 1", "b 1"]
    train(weights, "c", [1])  # seed 0 was trained before the interruption, and its file is lost
    Weights(weights.folder).settle("c", results(1.0, 1.0))
    assert kept(weights) == ["c 1"]


def test_a_trial_that_failed_leaves_nothing_and_drops_nobody(weights):
    train(weights, "a", range(1))
    weights.settle("a", results(0.5))
    train(weights, "b", range(2))
    weights.settle("b", results(0.9, 0.9, status="failed"))
    assert kept(weights) == ["a 0"]
