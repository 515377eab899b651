"""What people read: the sentence, the terminal, Markdown and the HTML page, also of runs with an odd shape."""

import html
import io
import re
from html.parser import HTMLParser

import pytest
from fakes.made_run import ODD, make_record, make_run, odd_run, sweep
from rich.console import Console

from bench.analysis.results import Results
from bench.report.files import format_table, make_products
from bench.report.page import write_html
from bench.report.ranking import lines_of, terminal_ranking
from bench.report.report import report_markdown, sentence


@pytest.fixture(params=ODD)
def odd(request, tmp_path):
    return odd_run(tmp_path / "odd", request.param)


@pytest.fixture
def run(tmp_path):
    return sweep(tmp_path / "run")


def terminal(run, width):
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(terminal_ranking(Results.of(run), width))
    return console.file.getvalue()


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


def test_a_line_a_trial_with_its_notes(run):
    relu, tanh, failed, skipped = lines_of(Results.of(run))
    assert (relu.rank, relu.name, relu.note) == ("1", "relu", "pareto")
    assert (tanh.rank, tanh.name, tanh.note) == ("2", "tanh", "pareto")
    assert (failed.name, failed.note) == ("gelu", "failed: the worker crashed (SIGABRT)")
    assert (skipped.name, skipped.note) == ("silu-cuda", "skipped: no CUDA device: none here")


@pytest.mark.parametrize("width", [200, 120, 80])
def test_the_terminal_ranking_fits(run, width):
    text = terminal(run, width)
    assert all(len(line) <= width for line in text.splitlines())
    for part in ("relu", "98.00 ± 2.48 %", "tanh", "gelu", "(SIGABRT)", "silu-cuda", "no CUDA device", "images/s"):
        assert part in text, part
    assert ("forward" in text) == (width >= 110)


@pytest.mark.parametrize("width", [120, 80, 40])
def test_the_terminal_ranking_of_odd_runs(odd, width):
    text = terminal(odd, width)
    assert all(len(line) <= width for line in text.splitlines())
    flat = re.sub(r"\s+", "", text)
    for record in odd.records():
        assert re.sub(r"\s+", "", record.reason)[:40] in flat
        assert record.name.split()[0] in flat


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


class Page(HTMLParser):
    """What a browser would fetch, run and show of a page."""

    VOID = ("meta", "br", "input", "img", "link", "hr")

    def __init__(self, text):
        super().__init__()
        self.sources, self.scripts, self.texts, self.open, self.cells, self.pictures = [], 0, [], [], [], 0
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            assert not name.startswith("on"), f"{tag} has {name}"
            if name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster", "background"):
                self.sources.append(value)
        self.scripts += tag == "script"
        self.pictures += tag == "svg"
        if tag == "td":
            self.cells.append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if "td" in self.open:
            self.cells[-1] += data


def test_the_page_is_one_file_with_everything_in_it(run):
    products = make_products(Results.of(run))
    text = (run.path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert all(source.startswith("#") for source in page.sources), page.sources
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert page.scripts == 1
    assert page.pictures == sum(path.suffix == ".svg" for path in products.paths) >= 3
    for cell in ("relu", "tanh", "gelu", "failed: the worker crashed (SIGABRT)", "silu-cuda",
                 "skipped: no CUDA device: none here", "98.00 ± 2.48 %"):  # fmt: skip
        assert cell in page.cells, cell
    assert products.sentence in html.unescape(text)
    assert all(path.stat().st_size > 0 for path in products.paths)
    assert not list(run.path.rglob("*.part*"))
    before = {path: path.read_bytes() for path in products.paths if path.suffix in (".csv", ".svg", ".md", ".html")}
    assert make_products(Results.of(run)).paths == products.paths
    assert {path: path.read_bytes() for path in before} == before


def test_the_page_of_odd_runs(odd):
    """Without pictures, which take seconds; tests/test_plots.py draws them."""
    text = write_html(Results.of(odd), []).read_text(encoding="utf-8")
    page = Page(text)
    assert all(source.startswith("#") for source in page.sources)
    assert page.scripts == 1
    names = [record.name for record in odd.records()]
    assert all(name in page.cells for name in names)
    assert all(any(record.reason in cell for cell in page.cells) for record in odd.records())
    assert not re.search(r">\s*nan", text, re.IGNORECASE)
    assert "<h2>Pictures</h2>" not in text


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
