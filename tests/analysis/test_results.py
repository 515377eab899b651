"""Results: each thing is derived once, from one reading of the records."""

import pytest
from fakes.made_run import make_record, make_run, sweep

from bench.analysis import results as results_module
from bench.analysis.results import Results
from bench.errors import RecordError, TableError
from bench.records.journal import Journal
from bench.records.reading import Reading
from bench.report.files import make_products


@pytest.fixture
def opened(monkeypatch):
    """Counts how often a file of records is opened to be read through."""
    names = []
    newest = Journal.newest

    def count(journal, order):
        names.append(journal.path.name)
        return newest(journal, order)

    monkeypatch.setattr(Journal, "newest", count)
    return names


def test_nothing_is_read_before_it_is_asked_for_and_the_records_once(tmp_path, opened):
    results = Results.of(sweep(tmp_path / "run"))
    assert opened == []
    make_products(results)
    _ = results.table, results.ranked, results.effects, results.interactions, results.findings, list(results.reading)
    assert opened == ["records.jsonl"]


def test_each_thing_is_computed_once(tmp_path, monkeypatch):
    calls = []

    def count(function):
        return lambda *arguments: calls.append(function.__name__) or function(*arguments)

    effects = results_module.effects
    for module, name in ((results_module, "rank"), (effects, "main_effects"), (effects, "interactions")):
        monkeypatch.setattr(module, name, count(getattr(module, name)))
    results = Results.of(sweep(tmp_path / "run"))
    make_products(results)
    assert results.ranked is results.ranked
    assert sorted(calls) == ["interactions", "main_effects", "rank"]


def test_a_long_file_says_the_same_as_one_that_is_kept(tmp_path):
    run = sweep(tmp_path / "run")
    kept, streamed = Results(Reading(run)), Results(Reading(run, limit_bytes=0))
    for name in ("table", "ranked", "effects", "interactions"):
        assert getattr(kept, name).equals(getattr(streamed, name)), name
    assert kept.repeats == streamed.repeats


def test_repeats_are_by_key(tmp_path):
    relu = make_record({"activation": "relu"}, (0.9, 0.8), (1e-3,))
    repeats = Results.of(make_run(tmp_path / "run", [relu], {"activation": ["relu"]})).repeats
    assert repeats[relu.key].seeds == {0: 0.9, 1: 0.8}
    assert repeats[relu.key].accuracy == pytest.approx(0.85)


def test_runs_of_one_folder_name_stand_side_by_side(tmp_path):
    """They were told apart by the folder's name alone, and the ranking failed where two experiments' were alike."""
    runs = [
        make_run(tmp_path / name / "r1", [make_record({"activation": name}, (accuracy,) * 2)], {"activation": [name]})
        for name, accuracy in (("relu", 0.8), ("tanh", 0.9))
    ]
    results = Results.of(*runs)
    assert list(results.ranked["name"]) == ["tanh", "relu"]
    assert list(results.ranked["within_noise"]) == [True, False]
    assert results.axes == {"activation": ["relu", "tanh"]}


def test_what_is_chosen_is_what_is_ranked(tmp_path):
    results = Results.of(sweep(tmp_path / "run"), where="activation == 'tanh'")
    assert list(results.table["name"]) == list(results.ranked["name"]) == ["tanh"]
    assert [repeats.knobs["activation"] for repeats in results.repeats.values()] == ["tanh"]
    with pytest.raises(TableError, match="--where nonsense: no column 'nonsense'"):
        _ = Results.of(sweep(tmp_path / "other"), where="nonsense").ranked


def test_damage_is_one_line(tmp_path):
    run = sweep(tmp_path / "run")
    with run.records_file.path.open("a") as file:
        file.write("no json\n{}\n")
    with pytest.raises(RecordError, match=r"records\.jsonl:5: not a line of JSON"):
        _ = Results.of(run).table


def test_most_experiments_have_no_findings(tmp_path):
    assert Results.of(sweep(tmp_path / "run")).findings == []
