"""The HTML page: one file with everything in it, also of runs with an odd shape."""

import html
import re
from html.parser import HTMLParser

import pytest
from fakes.made_run import ODD, odd_run, sweep

from bench.analysis.results import Results
from bench.report.files import make_products
from bench.report.page import write_html


@pytest.fixture(params=ODD)
def odd(request, tmp_path):
    return odd_run(tmp_path / "odd", request.param)


@pytest.fixture
def run(tmp_path):
    return sweep(tmp_path / "run")


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
