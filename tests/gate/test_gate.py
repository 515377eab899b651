"""One gate from the request to the folder, without what takes minutes: what it refuses, and how it counts pairs."""

import dataclasses
import time

import pytest
from fakes.git_repository import Repository
from fakes.scripted_pairs import BENCHMARKS, made_trainings, make_pair

from bench.errors import GateError, LaunchError, TreesError
from bench.gate.gate import Recorder, find_working, make_folder, open_gate, train_trials
from bench.gate.plan import Plan, Request
from bench.gate.settings import Settings
from bench.gate.stored import Store
from bench.gate.suites import TrialSuite
from bench.machine.locks import machine_lock
from bench.records.journal import Journal

STEP, FORWARD = BENCHMARKS[2], BENCHMARKS[0]


class Listener:
    """A watcher that keeps what it is told."""

    def __init__(self):
        self.said, self.stages, self.steps = [], [], []

    def stage(self, name, total):
        self.stages.append((name, total))

    def advance(self, text):
        self.steps.append(text)

    def recorded(self, record):
        raise AssertionError("a gate has no records")

    def say(self, text):
        self.said.append(text)


def request_for(tmp_path, **options):
    return Request(
        **{"start": tmp_path, "base": None, "head": ".", "results": tmp_path, "data_root": tmp_path, **options}
    )


# ---- what is refused before anything is measured ---------------------------------------------------------------------


def test_without_valgrind_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GateError, match="needs valgrind, which is not installed"), open_gate(
        request_for(tmp_path, instructions=True), Listener()
    ):  # fmt: skip
        pass


def test_instructions_of_tests_are_not_counted(tmp_path, monkeypatch):
    (tmp_path / "valgrind").write_text("#!/bin/sh\n")
    (tmp_path / "valgrind").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GateError, match="does not go with --pytest"), open_gate(
        request_for(tmp_path, pytest="tests", instructions=True), Listener()
    ):  # fmt: skip
        pass


@pytest.fixture
def busy_machine(tmp_path, monkeypatch):
    """Another measurement holds the machine for as long as the test runs."""
    monkeypatch.setenv("LENET_BENCH_LOCKS", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with machine_lock(lambda text: None):
        yield


def test_a_wrong_checkout_is_said_before_it_waits_for_the_machine(tmp_path, busy_machine):
    watcher = Listener()
    with pytest.raises(TreesError, match="not in a git checkout"), open_gate(request_for(tmp_path), watcher):
        pass
    repository = Repository(tmp_path / "checkout")
    repository.commit(one="1\n")
    with pytest.raises(TreesError, match="nowhere: no such revision"), open_gate(
        request_for(repository.path, base="nowhere"), watcher
    ):  # fmt: skip
        pass
    assert watcher.said == []


def test_a_busy_machine_is_not_waited_for_if_told_so(tmp_path, busy_machine):
    repository = Repository(tmp_path / "checkout")
    repository.commit(one="1\n")
    with pytest.raises(GateError, match="another measurement is running on this machine"), open_gate(
        request_for(repository.path, wait=False), Listener()
    ):  # fmt: skip
        pass


# ---- folders ---------------------------------------------------------------------------------------------------------


def test_gates_of_one_second_get_folders_of_their_own(tmp_path):
    now = time.time()
    folders = [make_folder(tmp_path, now) for _ in range(3)]
    assert [folder.name.rpartition("-")[2] for folder in folders[1:]] == ["2", "3"]
    assert len(set(folders)) == 3
    assert all(folder.parent == tmp_path / "gate" and folder.is_dir() for folder in folders)


# ---- pairs -----------------------------------------------------------------------------------------------------------


class Source:
    """Pairs as scripted: `deaths` by number of the pair, `failed` reasons by side and benchmark."""

    def __init__(self, deaths=None, failed=None):
        self.deaths, self.failed, self.asked = deaths or {}, failed or {}, []

    def measure(self, stage, number, benchmarks):
        names = [one.name for one in benchmarks]
        self.asked.append(names)
        died = self.deaths.get(number, [])
        failed = {side: {n: r for n, r in rows.items() if n in names} for side, rows in self.failed.items()}
        pair = make_pair(stage, number, {} if died else dict.fromkeys(names, 0.0), failed)
        return dataclasses.replace(pair, died=died)


def measured(tmp_path, source, count=2):
    watcher = Listener()
    pairs = Recorder(source, Store(tmp_path), watcher).measure("screen", count, [FORWARD, STEP])
    assert [line["number"] for line in Journal(tmp_path / "pairs.jsonl").read()] == [pair.number for pair in pairs]
    return pairs, watcher


def test_pairs_are_written_down_one_by_one(tmp_path):
    pairs, watcher = measured(tmp_path, Source())
    assert len(pairs) == 2
    assert watcher.stages == [("screen", 2)]
    assert watcher.steps == ["pair 1 of 2", "pair 2 of 2"]


def test_a_pair_in_which_a_side_died_does_not_count(tmp_path):
    source = Source(deaths={0: [["head", STEP.name, "killed", "was killed"]]})
    pairs, watcher = measured(tmp_path, source)
    assert [bool(pair.died) for pair in pairs] == [True, False, False]
    assert watcher.said == [f"the head side died at {STEP.name}: was killed"]
    assert all(pair.failed == {"base": {}, "head": {}} for pair in pairs)


def test_what_kills_a_side_twice_fails_there_and_the_rest_goes_on(tmp_path):
    death = [["head", STEP.name, "crashed", "SIGABRT"]]
    source = Source(deaths={0: death, 1: death})
    pairs, _ = measured(tmp_path, source)
    assert pairs[1].failed["head"] == {STEP.name: "SIGABRT"}
    assert source.asked == [[FORWARD.name, STEP.name]] * 2 + [[FORWARD.name]] * 2
    assert find_working([FORWARD, STEP], pairs) == [FORWARD]


def test_what_hangs_is_not_waited_for_again(tmp_path):
    source = Source(deaths={0: [["base", STEP.name, "timeout", "silent for 60 s"]]})
    pairs, _ = measured(tmp_path, source)
    assert pairs[0].failed["base"] == {STEP.name: "silent for 60 s"}
    assert source.asked[1:] == [[FORWARD.name]] * 2


def test_a_side_that_cannot_start_ends_the_gate(tmp_path):
    death = [["base", "", "crashed", "no torch"]]
    with pytest.raises(LaunchError, match="the base side died while starting, more than once: no torch"):
        measured(tmp_path, Source(deaths={0: death, 1: death}))
    assert len(list(Journal(tmp_path / "pairs.jsonl").read())) == 1


def test_when_nothing_works_no_pair_is_measured(tmp_path):
    failed = {"head": {FORWARD.name: "no", STEP.name: "no"}}
    pairs, _ = measured(tmp_path, Source(failed=failed), count=8)
    assert len(pairs) == 1


# ---- trainings -------------------------------------------------------------------------------------------------------


def test_trials_none_of_whose_benchmarks_works_are_not_trained_and_rounds_are_written_down(tmp_path):
    trainings = [{"name": name, "seed": seed} for name in ("relu_16", "relu_64", "knn3") for seed in range(12)]
    plan = Plan(Settings(), TrialSuite(), BENCHMARKS[:6], [], trainings, [])
    working = [one for one in BENCHMARKS[:6] if not one.name.startswith("relu_64/")]
    scores, asked = made_trainings([0.0] * 12), []

    def train(some):
        asked.append({(one["name"], one["seed"]) for one in some})
        return {side: [{**scores[side][one["seed"]], "name": one["name"]} for one in some] for side in scores}

    watcher = Listener()
    trained = train_trials(plan, working, Store(tmp_path), watcher, train)
    assert asked == [{(name, seed) for name in ("relu_16", "knn3") for seed in range(4)}]
    assert list(Journal(tmp_path / "trainings.jsonl").read()) == [trained]
    assert watcher.steps == ["8 trainings on either side"]


def test_without_trainings_nothing_is_begun(tmp_path):
    plan, watcher = Plan(Settings(), TrialSuite(), BENCHMARKS, [], [], []), Listener()
    assert train_trials(plan, BENCHMARKS, Store(tmp_path), watcher, None) == {}
    assert watcher.stages == []
