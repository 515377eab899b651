"""What is made of a run and what is there already; the forms of a table."""

import os

import pytest
from fakes.made_run import sweep

from bench.analysis.results import Results
from bench.report.files import find_products, format_table, make_products


@pytest.fixture
def run(tmp_path):
    return sweep(tmp_path / "run")


def test_the_forms_of_a_table(run):
    text = format_table(Results.of(run), "csv", effects=False, width=100)
    assert text.splitlines()[0].startswith("name,key,run,status")
    assert len(text.splitlines()) == 5
    assert '"name":"relu"' in format_table(Results.of(run, where="status == 'ok'"), "json", effects=False, width=100)
    effects = format_table(Results.of(run), "terminal", effects=True, width=100)
    assert "| activation | tanh |" in effects
    assert (
        len(format_table(Results.of(run, where="activation == 'tanh'"), "md", effects=False, width=100).splitlines())
        == 3
    )


def test_what_was_made_is_found_and_made_again_when_the_records_are_newer(run):
    made = make_products(Results.of(run)).paths
    page = run.path / "report.html"
    page.write_text("as it was")
    assert sorted(find_products(Results.of(run))) == sorted(made)
    assert page.read_text() == "as it was"
    os.utime(page, ns=(0, 0))
    assert sorted(find_products(Results.of(run))) == sorted(made)
    assert page.read_text() != "as it was"


def test_times_of_two_machines_are_warned_of_below_the_ranking(run, tmp_path):
    other = sweep(tmp_path / "other", machine={"id": "m2"})
    ranking = format_table(Results.of(run, other), "terminal", effects=False, width=100)
    assert "machine m1, m2" in ranking.renderables[-1]
