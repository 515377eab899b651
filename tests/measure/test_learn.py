"""One seed of one trial learned: in the sweep's worker and on the gate's side it is the same trial."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.experiment.trial import Placement, Trial
from bench.measure.learn import fail, learn
from bench.records.record import SeedResult
from bench.sweep.worker import train
from lenet.networks import build
from lenet.variant import Recipe, Variant

ROOT = Path(__file__).resolve().parents[2]
START = ROOT / "bench" / "gate" / "sides" / "start.py"
DIGITS = Recipe(data="digits", epochs=2, batch_size=64)
NETWORK = Trial(Variant(channels=1, classes=10), DIGITS, Placement())
TRIALS = {
    "float32": NETWORK,
    "bfloat16": dataclasses.replace(NETWORK, placement=Placement(dtype="bfloat16")),
    "no network": Trial(
        Variant("knn3", "none", "none", "none", output="logits", channels=1, classes=10, input_size=16),
        Recipe(data="digits", epochs=1),
    ),
    "fails": dataclasses.replace(NETWORK, recipe=dataclasses.replace(DIGITS, data="mnist")),
}


@pytest.fixture
def threads():
    """The sweep's worker sets the number of threads of its process, which is this one here."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    torch.set_flush_denormal(False)


def test_the_gate_trains_the_very_trial_that_the_sweep_trains(tmp_path, threads):
    trainings = [{"name": name, "seed": 0, "trial": trial.to_dict()} for name, trial in TRIALS.items()]
    task = {"kind": "train", "tree": str(ROOT), "threads": 1, "data_root": str(tmp_path), "trainings": trainings}
    side = subprocess.run(
        [sys.executable, "-P", str(START), "trial_side"], input=json.dumps(task) + "\n", capture_output=True,
        text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    by_the_gate = {line["name"]: line for line in map(json.loads, side.stdout.splitlines()) if "name" in line}
    by_the_sweep = {}
    for name, trial in TRIALS.items():
        task = {"trial": trial.to_dict(), "seed": 0, "data_root": str(tmp_path), "extensions": []}
        train(task, lambda message, name=name: by_the_sweep.update({name: message}))
    for name, message in by_the_sweep.items():
        assert message["status"] == ("failed" if name == "fails" else "ok"), message["reason"]
        assert by_the_gate[name]["accuracy"] == message["test_accuracy"], name
        assert by_the_gate[name]["reason"] == message["reason"]
    assert str(tmp_path) in by_the_gate["fails"]["reason"]
    scores = {name: message["test_accuracy"] for name, message in by_the_sweep.items()}
    assert scores["bfloat16"] != scores["float32"]
    assert scores["no network"] > 0.9


def test_what_comes_out_is_a_seeds_result_whether_it_went_well_or_not(tmp_path, threads):
    fields = {field.name for field in dataclasses.fields(SeedResult)} - {"wall_s", "peak_memory_bytes"}
    variant, recipe = NETWORK.variant, dataclasses.replace(DIGITS, epochs=1)
    saved = tmp_path / "weights.pt"
    done = learn(variant, recipe, dataclasses.asdict(Placement()), 3, tmp_path, weights=saved)
    assert done.keys() == {*fields, "network"}
    assert done["network"]["parameters"] > 0
    assert len(done["data_digest"]) >= 16
    assert torch.load(saved).keys() == build(variant, seed=0).state_dict().keys()
    failed = fail(3, MemoryError("no more"))
    assert failed.keys() == done.keys()
    assert (failed["status"], failed["cause"], failed["reason"]) == ("failed", "out_of_memory", "MemoryError: no more")


def test_a_seed_that_fails_says_where_and_saves_no_weights(tmp_path, threads):
    recipe = dataclasses.replace(DIGITS, data="mnist")
    failed = learn(NETWORK.variant, recipe, dataclasses.asdict(Placement()), 0, tmp_path, weights=tmp_path / "w.pt")
    assert (failed["status"], failed["cause"]) == ("failed", "error")
    assert str(tmp_path) in failed["reason"]
    assert not (tmp_path / "w.pt").exists()
