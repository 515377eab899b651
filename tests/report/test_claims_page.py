"""The page of claims: every claim in every form, the pictures, and the reference that the README quotes."""

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.analysis.claims import (
    DATA_DIFFER,
    NOT_RUN,
    REPRODUCED,
    find_readings,
    judge_all,
    read_claims,
)
from bench.experiment.trial import Trial
from bench.records.record import Record, SeedResult
from bench.records.run import Run
from bench.report.claims_page import HEADERS, markdown_table, summary, terminal_table, to_json, write_page

ROOT = Path(__file__).parents[2]


def record(architecture, errors, rejection=None, network=None, **knobs):
    """A trial on USPS with one seed an error (in percent of 2,007 test images)."""
    trial = Trial.from_knobs({"data": "usps", **knobs, "architecture": architecture})
    seeds = [
        SeedResult(seed=number, test_accuracy=1 - error / 100, train_accuracy=1.0, rejection=rejection or {})
        for number, error in enumerate(errors)
    ]
    return Record(trial.key, architecture, trial.to_dict(), "ok", seeds=seeds, network=network or {})


def make_run(results, records, name="x"):
    experiment = {
        "name": name, "uid": name, "question": "", "expect": "", "axes": {}, "seeds": [0, 1, 2], "git": {},
        "timing": {"enabled": False}, "started_s": time.time(), "command": f"lenet-bench run {name}.toml",
        "baseline": records[0].key, "trials": [{"key": r.key, "name": r.name, "trial": r.trial} for r in records],
    }  # fmt: skip
    run = Run.create(results / name / "20260101-000000", experiment, {"id": "m", "cpu": "a <b> | c", "torch": "2"})
    for one in records:
        run.append(one)
    return run


@pytest.fixture
def results(tmp_path):
    places = {"margin": list(range(9)), "confidence": list(range(9))}
    nets = [
        record(f"net{n}", [10.0 - n, 10.1 - n, 10.2 - n], places, data="usps480", selection="last")
        for n in (1, 2, 3, 4, 5)
    ]
    make_run(tmp_path, nets, "history_1989_generalization")
    make_run(tmp_path, [record("lenet1", [4.0, 4.1, 4.3], places, {"parameters": 2_578})], "history_1990_rejection")
    return tmp_path


def test_the_page_has_every_claim_and_its_pictures(results, tmp_path):
    claims = read_claims()
    readings = find_readings(results, claims)
    assert set(readings) == {"history_1989_generalization", "history_1990_rejection"}
    findings = judge_all(claims, readings)
    paths = write_page(tmp_path / "reference", findings, readings)
    page = paths[0].read_text()
    assert all(path.stat().st_size > 0 for path in paths)
    assert {path.name for path in paths[1:]} == {
        "history_figures.png", "history_1989_generalization.png", "history_1990_rejection.png",
    }  # fmt: skip
    assert all(path.name in page for path in paths[1:])
    assert page.count("\n| ") == len(claims) + 1
    assert summary(findings) in page
    assert "a &lt;b&gt; \\| c" in page
    again = write_page(tmp_path / "reference", findings, readings)
    assert again[0].read_text() == page


def test_all_forms_hold_the_same(results):
    findings = judge_all(read_claims(), find_readings(results, read_claims()))
    rows = json.loads(to_json(findings))
    assert len(rows) == len(findings) == terminal_table(findings).row_count
    assert set(rows[0]) >= set(HEADERS)
    assert {row["verdict"] for row in rows} >= {DATA_DIFFER, NOT_RUN, REPRODUCED}
    assert all(row["ours"] is None or math.isfinite(row["ours"]) for row in rows)
    assert markdown_table(findings).count("\n") == len(findings) + 2


def test_the_reference_is_what_its_records_say_and_the_readme_quotes_it():
    """Page and README are made by one command from the records beside them; nothing is written by hand."""
    reference = ROOT / "results" / "reference"
    claims = read_claims()
    table = markdown_table(judge_all(claims, find_readings(reference, claims)))
    assert table in (reference / "history.md").read_text(encoding="utf-8")
    assert table in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_command(results, tmp_path):
    def call(*arguments):
        command = [sys.executable, "-m", "bench", "claims", "--results", str(results), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    told = call("--write", str(tmp_path / "out"))
    assert told.returncode == 0, told.stderr
    assert "Net-5" in told.stdout
    assert (tmp_path / "out" / "history.md").exists()
    assert call("--md").stdout.startswith("| claim |")
    both = call("--md", "--json")
    assert (both.returncode, both.stderr.count("\n")) == (2, 1)


def test_the_report_of_a_run_shows_its_claims(results):
    from bench.analysis.results import Results
    from bench.report.files import make_products

    run = Run.open(results / "history_1989_generalization" / "20260101-000000")
    make_products(Results.of(run))
    for name in ("report.md", "report.html"):
        text = (run.path / name).read_text()
        assert "Claims of the literature" in text
        assert "Net-5, two layers of shared weights" in text
        assert "MNIST" not in text  # other experiments' claims
    assert (run.path / "plots" / "rejection.png").exists()
