"""A sweep from Python: what it records, what it does not do again, and what it says before it begins."""

import json

import pytest

from bench.errors import BadInputError
from bench.records.run import Run
from bench.sweep.start import resume_run, start_run
from bench.sweep.sweep import Sweep
from bench.sweep.training_stage import Options
from bench.watcher import Silent

pytestmark = pytest.mark.integration

SMALL = """
seeds = 2
[base]
data = "digits"
epochs = 1
batch_size = 256
[axes]
activation = ["relu", "tanh"]
[timing]
enabled = false
"""


class Listener(Silent):
    """Writes down what it is told."""

    def __init__(self):
        self.told = []

    def stage(self, name, total):
        self.told.append((name, total))

    def recorded(self, record):
        self.told.append(record.name)


@pytest.fixture
def sweep(tmp_path):
    """Runs or resumes the small sweep; returns its folder and what its watcher was told."""
    file, results = tmp_path / "small.toml", tmp_path / "results"
    file.write_text(SMALL)

    def execute(*settings, resume=False):
        listener = Listener()
        begun = resume_run(results, "small") if resume else start_run(file, settings, results, [], lambda *_: False)
        with begun as (experiment, run):
            Sweep(experiment, run, Options(2, tmp_path), listener).execute()
        return run.path, listener.told

    return execute


def test_every_trial_ends_as_one_record_and_a_part_is_kept_of_each_seed(sweep):
    folder, told = sweep()
    records = list(Run.open(folder).records())
    assert sorted(record.name for record in records) == ["relu", "tanh"]
    assert all((record.status, record.attempt) == ("ok", 1) for record in records)
    assert [[seed.seed for seed in record.seeds] for record in records] == [[0, 1], [0, 1]]
    assert all(0 < record.started_s <= record.ended_s for record in records)
    assert (told[0], sorted(told[1:])) == (("training", 4), ["relu", "tanh"])
    parts = [json.loads(line) for line in (folder / "parts.jsonl").read_text().splitlines()]
    assert [part["kind"] for part in parts] == ["seed"] * 4
    assert not (folder / "logs").exists()


def test_what_is_recorded_is_not_done_again(sweep):
    folder, _ = sweep()
    before = (folder / "records.jsonl").read_bytes()
    again, told = sweep(resume=True)
    assert (again, told) == (folder, [])
    assert (folder / "records.jsonl").read_bytes() == before


def test_a_trial_without_its_record_takes_its_finished_seeds_from_the_parts(sweep):
    folder, _ = sweep()
    first, second = (folder / "records.jsonl").read_text().splitlines(keepends=True)
    (folder / "records.jsonl").write_text(first)
    seeds = json.loads(second)["seeds"]
    parts = (folder / "parts.jsonl").read_text().splitlines(keepends=True)
    last = max(place for place, part in enumerate(parts) if json.loads(part)["key"] == json.loads(second)["key"])
    lost = json.loads(parts.pop(last))["result"]["seed"]
    (folder / "parts.jsonl").write_text("".join(parts))
    _, told = sweep(resume=True)
    assert told == [("training", 1), json.loads(second)["name"]]
    again = json.loads((folder / "records.jsonl").read_text().splitlines()[1])["seeds"]
    assert [seed["test_accuracy"] for seed in again] == [seed["test_accuracy"] for seed in seeds]
    assert again[1 - lost] == seeds[1 - lost]  # the seconds as well: it was not trained again


def test_a_data_set_that_is_not_there_leaves_no_folder(sweep, tmp_path):
    with pytest.raises(BadInputError, match="mnist is not in"):
        sweep("data=mnist")
    assert not list(tmp_path.glob("results/small/*"))
