"""A reading: records in the plan's order, read from the disk once, and streamed beyond the limit."""

import dataclasses

import pytest
from fakes.made_run import make_record, make_run

from bench.errors import RecordError
from bench.records.reading import Reading
from bench.records.record import Record

RELU, TANH = ({"activation": name} for name in ("relu", "tanh"))


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "r", [make_record(RELU, (0.9,)), make_record(TANH, (0.8,))], {})


@pytest.fixture
def parsed(monkeypatch):
    """Counts the records that are made from lines."""
    made = []
    from_dict = Record.from_dict
    monkeypatch.setattr(Record, "from_dict", lambda values: made.append(values["key"]) or from_dict(values))
    return made


def test_records_come_in_the_plans_order_and_the_newest_of_each(run):
    first, second = run.records()
    run.append(dataclasses.replace(first, attempt=2))
    assert list(Reading(run)) == [dataclasses.replace(first, attempt=2), second]
    assert len(Reading(run)) == 2


def test_a_short_file_is_read_once_and_when_it_is_asked_for(run, parsed):
    reading = Reading(run)
    assert parsed == []
    assert list(reading) == list(reading)
    assert len(reading) == 2
    assert len(parsed) == 2


def test_a_long_file_is_read_again_and_never_kept(run, parsed):
    size_bytes = run.records_file.path.stat().st_size
    reading = Reading(run, limit_bytes=size_bytes - 1)
    assert [record.name for record in reading] == [record.name for record in reading]
    assert len(parsed) == 4
    assert len(list(Reading(run, limit_bytes=size_bytes))) == 2
    first = next(iter(reading))
    assert first is not next(iter(reading))


def test_what_is_appended_later_is_not_in_a_short_files_reading(run):
    reading = Reading(run)
    assert len(reading) == 2
    run.append(make_record({"activation": "gelu"}, (0.7,)))
    assert len(reading) == 2
    assert len(Reading(run)) == 3


def test_a_run_without_records_is_empty(tmp_path):
    assert list(Reading(make_run(tmp_path / "r", [], {}, missing=[make_record(RELU)]))) == []


def test_a_damaged_file_is_refused_with_its_line(run):
    with run.records_file.path.open("a") as file:
        file.write("no json\n{}\n")
    with pytest.raises(RecordError, match=r"records\.jsonl:3: not a line of JSON"):
        list(Reading(run))
