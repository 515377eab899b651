"""Many trials: what is read once, bounded, or grows no faster than the trials."""

import pytest
from fakes.synthetic_run import make_synthetic_run
from fakes.tables import build_table

from bench.analysis.ranking import pareto_front
from bench.analysis.results import Results
from bench.records.journal import Journal
from bench.records.run import Run
from bench.report.files import find_products, format_table, make_products
from bench.report.ranking import LISTED
from bench.tracking.description import NOTE_LIMIT
from bench.tracking.entries import make_entries, ranking_table
from bench.tracking.views import VIEW_LIMIT, view_state


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_synthetic_run(tmp_path_factory.mktemp("scale") / "synthetic" / "r1", 1_000)


@pytest.fixture
def parsed(monkeypatch):
    """Counts the lines that are parsed."""
    lines = []
    parse = Journal._parse
    monkeypatch.setattr(Journal, "_parse", lambda self, number, line: lines.append(number) or parse(self, number, line))
    return lines


def test_products_of_a_thousand_trials_are_bounded_and_read_the_records_once(run, parsed):
    results = Results.of(run)
    products = make_products(results)
    assert len(products.table) == 1_000
    assert len(parsed) == 1_000
    assert (run.path / "report.html").stat().st_size < 1_000_000
    assert (run.path / "report.md").read_text().count("\n| ") < LISTED + 60
    assert set(find_products(results)) == set(products.paths)
    assert len(find_products(Results.of(Run.open(run.path)))) == len(products.paths)
    from rich.console import Console

    console = Console(width=120, file=None, record=True, quiet=False)
    with console.capture() as capture:
        console.print(products.ranking(120))
    assert "940 more trials in table.csv and report.html" in capture.get()


def test_a_table_and_its_effects_read_each_record_once(run, parsed):
    format_table(Results.of(run, where="batch_size == 8"), "csv", effects=True, width=100)
    assert len(parsed) == 1_000


def test_entries_and_the_view_stay_within_mlflows_limits(run, parsed):
    results = Results.of(run)
    *entries, sweep = make_entries(results)
    assert len(entries) == len({entry.uid for entry in entries}) == 1_000
    assert len(sweep.tags["mlflow.note.content"]) <= NOTE_LIMIT
    assert len(ranking_table(results)["data"]) == 500
    assert all(len(entry.metrics) <= 1_000 and len(entry.params) <= 100 and not entry.table for entry in entries)
    metrics = {name for name, _, _ in entries[0].metrics}
    state = view_state(run.experiment["axes"], "p", metrics, ("test/accuracy", False), grouped=False)
    assert len(str(state)) < VIEW_LIMIT
    assert len(parsed) == 1_000


def test_the_newest_line_of_a_trial_counts_and_the_plans_order_holds(run, tmp_path):
    lines = (run.path / "records.jsonl").read_text().splitlines(keepends=True)[:3]
    again = lines[0].replace('"attempt":1', '"attempt":2')
    journal = Journal(tmp_path / "records.jsonl")
    journal.path.write_text("".join([lines[2], lines[0], lines[1], again, '{"key":"torn']))
    keys = [trial["key"] for trial in run.experiment["trials"][:3]]
    found = list(journal.newest({key: place for place, key in enumerate(keys)}))
    assert [(values["key"], values["attempt"]) for values in found] == [(keys[0], 2), (keys[1], 1), (keys[2], 1)]


def test_the_front_of_many_is_the_front_that_every_pair_gives(run):
    table = build_table([run]).head(300).copy()
    table.loc[table.index[:20], "step_ms"] = table["step_ms"].iloc[0]  # ties
    table.loc[table.index[:10], "test_accuracy"] = table["test_accuracy"].max()
    table.loc[table.index[20:25], "step_ms"] = float("nan")
    points = list(zip(table["test_accuracy"], table["step_ms"], strict=True))
    beaten = [any(a >= x and s <= y and (a > x or s < y) for a, s in points) for x, y in points]
    expected = [not lost and s == s for lost, (_, s) in zip(beaten, points, strict=True)]
    assert list(pareto_front(table)) == expected
