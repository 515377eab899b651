"""The best trial as a model: chosen from results, and logged into a real store by a real worker."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest
import torch
from fakes.tracked_run import client_of, make_record, make_run, results_of, sync

from bench.tracking.champion import Best, beats, choose
from bench.tracking.client import Tracker
from lenet.networks import build
from lenet.variant import Variant


@pytest.fixture
def trained(run):
    """A run whose best trial left weights: those of a fresh network."""
    best = run.records()[-1]
    (run.path / "weights").mkdir()
    network = build(Variant(**best.trial["variant"]), seed=1)
    torch.save(network.state_dict(), run.path / "weights" / f"0.908000000_{best.key}_1.pt")
    return run


def test_the_most_accurate_trial_is_chosen_with_all_that_its_model_needs(trained):
    best = choose(results_of(trained))
    assert isinstance(best, Best)
    assert (best.name, best.seed, best.data) == ("tanh-64", 1, "digits:0123456789abcdef")
    assert best.accuracies == {"0": pytest.approx(0.903), "1": pytest.approx(0.913)}
    assert Best(**json.loads(json.dumps(best.to_dict()))) == best
    assert len(best.digest) == 16


def test_why_there_is_no_model(run, tmp_path):
    assert choose(results_of(run)) == "no model: the weights of tanh-64 were not kept"
    untrained = make_run(tmp_path / "quick" / "r2", records=False)
    assert choose(results_of(untrained)) == "no model: nothing was trained"
    record = make_record({"activation": "relu", "batch_size": 8}, 0)
    untrained.append(dataclasses.replace(record, seeds=[]))
    assert choose(results_of(untrained)) == "no model: nothing was trained"


def test_a_network_that_cannot_be_logged_is_said_and_is_no_error(trained, uri):
    [file] = (trained.path / "weights").glob("*.pt")
    file.write_bytes(b"no weights")
    sent = sync(trained, uri, model=True)
    assert sent.text == "4 sent"
    assert sent.model.startswith("the best trial, tanh-64, cannot be logged as a model (")


def test_the_best_trial_is_registered_as_champion_and_twice_is_once(trained, uri):
    first = sync(trained, uri, model=True).model
    assert first == "model of tanh-64 (seed 1): registered as lenet-digits@champion, version 1"
    assert sync(trained, uri, model=True).model == "model of tanh-64 (seed 1): is lenet-digits@champion"
    client = client_of(uri)
    [model] = client.search_logged_models(["1"])
    [version] = client.search_model_versions("name = 'lenet-digits'")
    assert client.get_run(model.source_run_id).info.run_name == "tanh-64"
    assert model.tags["bench.data"] == "digits:0123456789abcdef"
    assert json.loads(version.tags["bench.accuracies"]) == {"0": 0.903, "1": pytest.approx(0.913)}


LOAD = """
import sys, warnings; warnings.simplefilter("ignore")
import mlflow, numpy as np
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/lenet-digits@champion")
print(model.predict(np.zeros((5, 1, 32, 32), dtype=np.float32)).shape, model.metadata.signature is not None)
print("bench" in sys.modules or "lenet" in sys.modules)
"""


@pytest.mark.slow
def test_the_champion_loads_without_this_suite(tmp_path, uri, trained):
    with Tracker(uri, tmp_path) as tracker:
        tracker.sync(results_of(trained))
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, uri], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300
    )
    assert done.stdout.split("\n")[:2] == ["(5, 10) True", "False"], done.stderr[-800:]


@pytest.mark.slow
def test_a_model_that_is_no_longer_the_best_goes_unless_it_is_registered(tmp_path, uri, trained):
    held = []
    with Tracker(uri, tmp_path) as tracker:
        for number in range(3):
            [file] = (trained.path / "weights").glob("*.pt")
            weights = torch.load(file)
            torch.save({name: value + number for name, value in weights.items()}, file)  # trained anew
            tracker.sync(results_of(trained))
            held.append({model.model_id for model in client_of(uri).search_logged_models(["1"])})
    champion, second = held[0], held[1] - held[0]
    assert [len(models) for models in held] == [1, 2, 2]
    assert champion < held[2]
    assert not second & held[2]


@pytest.mark.parametrize(
    ("ours", "holder", "data", "says"),
    [
        ([0.91, 0.92, 0.93], [0.90, 0.91, 0.921], "digits:1", ""),
        ([0.91, 0.92, 0.93], [0.90, 0.93, 0.91], "digits:1", "the difference is"),
        ([0.90, 0.91, 0.92], [0.91, 0.92, 0.93], "digits:1", "the difference is -1.00"),
        ([0.91, 0.92, 0.93], [0.91, 0.92, 0.93], "digits:1", "the difference is +0.00"),
        ([0.99], [0.5, 0.5], "digits:1", "fewer than two seeds"),
        ([0.99, 0.99, 0.98], [0.5, 0.5, 0.51], "digits:2", "other data"),
    ],
)
def test_only_a_significant_difference_takes_the_title(ours, holder, data, says):
    accuracies = {str(seed): value for seed, value in enumerate(ours)}
    tags = {"bench.data": data, "bench.accuracies": json.dumps({str(s): v for s, v in enumerate(holder)})}
    reason = beats(Best("", "", {}, "digits:1", accuracies, "", 0), tags)
    assert reason.startswith(says) if says.startswith("the") else says in reason
    assert bool(reason) == bool(says)
