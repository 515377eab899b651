"""What a gate compares follows from the experiments of both trees and from what was asked."""

import sys

import pytest

from bench.errors import GateError, UserError
from bench.gate.plan import Request, make_plan
from bench.gate.suites import TrialSuite
from bench.gate.trees import Trees

EXPERIMENT = """
question = "Is it slower?"
seeds = 12
[base]
data = "digits"
epochs = 1
[axes]
batch_size = [16, 64]
[timing]
phases = ["forward", "step"]
"""
METHODS = """
question = "Is it slower?"
seeds = 12
[base]
input_size = 16
selection = "last"
epochs = 1
[axes]
architecture = ["mlp300", "knn3"]
[timing]
phases = ["forward"]
"""


@pytest.fixture
def trees(tmp_path):
    for side in ("base", "head"):
        (tmp_path / "tree" / side / "experiments").mkdir(parents=True)
    commits = {"base": "b" * 40, "head": "a" * 40}
    return Trees(tmp_path, tmp_path, commits, False, dict.fromkeys(("base", "head"), sys.executable))


def plan(trees, head=EXPERIMENT, base=EXPERIMENT, **options):
    for side, text in (("base", base), ("head", head)):
        if text:
            (trees.path(side) / "experiments" / "gate.toml").write_text(text)
    asked = {"start": trees.folder, "base": None, "head": ".", "results": trees.folder, "data_root": trees.folder}
    return make_plan(trees, Request(**{**asked, **options}))


def names(benchmarks):
    return [one.name for one in benchmarks]


def test_each_phase_of_each_trial_is_compared_and_each_trial_trained(trees):
    made = plan(trees)
    assert [name.rpartition("/")[2] for name in names(made.benchmarks)] == ["forward", "step"] * 2
    assert made.base_names == names(made.benchmarks) == names(made.compared)
    assert len(made.trainings) == 2 * 12
    assert {one["name"] for one in made.trainings} == {name.rpartition("/")[0] for name in made.base_names}
    assert isinstance(made.suite, TrialSuite)
    assert made.notes == []


def test_methods_that_are_no_network_are_trained_and_not_timed(trees):
    made = plan(trees, METHODS, METHODS)
    trained = {one["name"] for one in made.trainings}
    assert len(trained) == 2
    assert len(made.benchmarks) == 1
    assert any("knn3" in name for name in trained)
    assert "knn3" not in made.benchmarks[0].name


def test_where_nothing_can_be_timed_it_says_so(trees):
    with pytest.raises(GateError, match="nothing in it can be timed"):
        plan(trees, METHODS.replace('"mlp300", ', ""))


def test_only_some_are_compared_and_trained(trees):
    chosen = plan(trees).benchmarks[3].name
    made = plan(trees, only=[chosen])
    assert names(made.benchmarks) == [chosen]
    assert {one["name"] for one in made.trainings} == {chosen.rpartition("/")[0]}
    with pytest.raises(GateError, match=f"fits no benchmark; did you mean '{chosen}'"):
        plan(trees, only=[chosen.replace("step", "stepp")])


def test_what_head_alone_or_base_alone_asks_for_is_known(trees):
    made = plan(trees, base=EXPERIMENT.replace("[16, 64]", "[16, 32]"))
    assert len(made.compared) == 2
    assert len(made.base_names) == len(made.benchmarks) == 4


def test_equal_names_of_unequal_trials_are_not_compared(trees):
    made = plan(trees, base=EXPERIMENT.replace("epochs = 1", "epochs = 1\nmomentum = 0.5"))
    assert made.compared == []
    assert len(made.notes) == 4
    assert all(note.endswith("asks for something else in head than in base; not compared") for note in made.notes)


def test_a_base_without_the_experiment_is_judged_by_heads(trees):
    made = plan(trees, base="")
    assert names(made.compared) == names(made.benchmarks)
    assert made.notes == [
        "base has no experiments/gate.toml: head's benchmarks are taken for both, removed ones go unseen"
    ]


def test_benchmarks_on_a_missing_device_are_left_out_and_not_trained(trees, monkeypatch):
    monkeypatch.setattr("bench.gate.plan.check_devices", lambda devices: "no CUDA" if "cuda" in devices else "")
    made = plan(trees, EXPERIMENT.replace("[axes]", '[axes]\ndevice = ["cpu", "cuda"]'))
    assert {one.trial["placement"]["device"] for one in made.benchmarks} == {"cpu"}
    assert {one["trial"]["placement"]["device"] for one in made.trainings} == {"cpu"}
    assert made.notes[0] == "benchmarks on cuda are left out: no CUDA"
    with pytest.raises(GateError, match="nothing in it can be timed here: no CUDA"):
        plan(trees, EXPERIMENT.replace("[axes]", '[axes]\ndevice = ["cuda"]'))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("", "experiments/gate.toml: not in the head"),
        (EXPERIMENT + "[experiment]\n", "experiment"),
        ('extensions = ["lenet.errors"]\n' + EXPERIMENT, "extensions cannot be gated"),
        (EXPERIMENT.replace("seeds = 12", "seeds = 3"), "3 seeds give no p-value below"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_line(trees, head, message):
    with pytest.raises(UserError, match=message) as caught:
        plan(trees, head)
    assert "\n" not in str(caught.value)


def test_the_same_commit_twice_is_noted(trees):
    trees.commits["head"] = trees.commits["base"]
    assert plan(trees).notes == ["base and head are the same commit: whatever is found is noise"]
