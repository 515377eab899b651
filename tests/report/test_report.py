"""The sentence and the Markdown, also of runs with an odd shape."""

import re

import pytest
from fakes.made_run import ODD, make_record, make_run, odd_run, sweep

from bench.analysis.results import Results
from bench.report.ranking import lines_of
from bench.report.report import front_in_words, report_markdown, sentence


@pytest.fixture(params=ODD)
def odd(request, tmp_path):
    return odd_run(tmp_path / "odd", request.param)


@pytest.fixture
def run(tmp_path):
    return sweep(tmp_path / "run")


def test_the_sentence_names_the_best_the_fastest_and_what_was_lost(run):
    text = sentence(Results.of(run))
    assert text == (
        "Best accuracy: relu with 98.00 ± 2.48 %, 1.05 ms ± 11.9 % a step. 1 of 4 trials failed. 1 of 4 trials skipped."
    )


@pytest.mark.parametrize(
    ("odd", "text"),
    [
        ("nothing recorded", "No trial has ended yet."),
        ("no ok trial", "1 of 2 trials failed. 1 of 2 trials skipped."),
        ("one trial", "Best accuracy: base with 97.50 ± 6.35 %, 1.05 ms ± 11.9 % a step."),
        (
            "one seed, one epoch, one process",
            "Best accuracy: relu with 98.00 %, 1 ms a step. Fastest of the 2 that cannot be told apart: the same.",
        ),
        ("timing off", "Best accuracy: relu with 97.50 ± 6.35 %."),
        ("synthetic", "Most images per second: synthetic-16-tanh with 15,200 (1.05 ms ± 11.9 % a step)."),
        (
            "synthetic, forward alone",
            "Most images per second: synthetic-8-relu with 30,500 (0.262 ms ± 11.9 % a forward pass).",
        ),
        ("synthetic, timing off", "Nothing was trained or timed."),
        (
            "nothing learned",
            "Best accuracy: tanh with 10.33 ± 1.43 %, 2.05 ms ± 31.5 % a step. No trial learned. "
            "Fastest of the 2 that cannot be told apart: relu with 10.00 ± 0.00 %, 1.05 ms ± 11.9 % a step.",
        ),
        (
            "some lost",
            "Best accuracy: relu with 97.50 ± 6.35 %, 1.05 ms ± 11.9 % a step. "
            "Fastest of the 2 that cannot be told apart: elu with 97.25 ± 3.18 %, 0.805 ms ± 7.9 % a step.",
        ),
    ],
)
def test_the_sentence_of_odd_runs(tmp_path, odd, text):
    assert sentence(Results.of(odd_run(tmp_path / "odd", odd))) == text


def test_markdown_lists_every_trial_and_how_it_was_measured(run):
    text = report_markdown(Results.of(run))
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[0].startswith("| # | trial |")
    assert [row.split(" | ")[1] for row in rows[1:5]] == ["relu", "tanh", "gelu", "silu-cuda"]
    assert "## Main effects" in text
    assert "Commit 0123456789ab with uncommitted changes." in text
    assert "Accuracy: mean over seeds 0, 1, 2" in text
    assert "3 fresh processes" in text
    assert "Machine m1: A processor, 2 cores, 8 GiB; no GPU; torch 2.13.0" in text
    assert "Reproduce: `lenet-bench run experiments/made.toml`" in text


def test_markdown_of_odd_runs(odd):
    text = report_markdown(Results.of(odd))
    ranking = text.partition("| # |")[2].partition("\n\n")[0]
    assert len(ranking.splitlines()) == 2 + len(odd.records())
    unescaped = [re.sub(r"\\.", "", line) for line in ranking.splitlines()[2:]]
    assert {line.count("|") for line in unescaped} <= {10}
    rest = re.sub(r"`[^`]*`$", "", re.sub(r"\\.", "", text).strip())  # the command, in a code span, stays as it is
    assert not set("<`[]") & set(rest)
    assert text.count("Reproduce: ") == 1
    assert "nan" not in text.lower().replace("nan (", "")
    assert len(text[text.index("Reproduce: ") :].strip().splitlines()) == 1


def test_a_long_ranking_is_cut_in_markdown_alone(tmp_path):
    records = [make_record({"epochs": n}, (0.9, 0.91)) for n in range(1, 71)]
    run = make_run(tmp_path / "r", records, {"epochs": list(range(1, 71))})
    results = Results.of(run)
    assert "10 more in table.csv" in report_markdown(results)
    assert len(lines_of(results)) == 70


def test_the_front_is_named_and_bounded(tmp_path):
    records = [
        make_record({"activation": "relu", "batch_size": size}, (0.5 + size / 100,) * 3, (size * 1e-3,))
        for size in range(1, 31)
    ]
    run = make_run(tmp_path / "run", records, {"batch_size": list(range(1, 31))})
    text = front_in_words(Results.of(run))
    assert text.count("%") == 12
    assert text.endswith("and 18 more.")
