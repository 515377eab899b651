"""The report in a real browser: light and dark, on a phone, by keyboard, with ten thousand trials."""

import html
import json

import pytest
from fakes.browser import ARGUMENTS, CHROMIUM, keep, needs_chromium
from fakes.made_run import ODD, odd_run
from fakes.synthetic_run import make_synthetic_run

from bench.analysis.results import Results
from bench.report.page import write_html
from bench.report.plots import draw_plots

playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
pytestmark = [pytest.mark.integration, needs_chromium]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def open_page(browser):
    """Opens a file as a person would; its console must stay empty, and nothing may be fetched."""
    contexts, said = [], []

    def make(path, width=1200, height=900, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "request",
            lambda request: said.append(request.url) if not request.url.startswith(("file:", "data:")) else None,
        )
        page.goto(path.as_uri())
        return page

    yield make
    for context in contexts:
        context.close()
    assert said == []


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    run = make_synthetic_run(tmp_path_factory.mktemp("page") / "synthetic" / "r1", 100)
    results = Results.of(run)
    return write_html(results, draw_plots(results)), results.table


def luminance(color):
    """Of `rgb(r, g, b)`, as WCAG 2 defines it."""
    parts = [int(part) / 255 for part in color[color.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(page, selector):
    """Of an element's letters with the page."""
    ink = page.locator(selector).first.evaluate("element => getComputedStyle(element).color")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light, dark = sorted([luminance(ink), luminance(paper)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_can_be_read_in_light_and_dark(open_page, small, scheme):
    page = open_page(small[0], scheme=scheme)
    for selector in (".answer", ".question", "#ranking td", "#ranking td:last-child", "li", ".quiet"):
        if page.locator(selector).count():
            assert contrast(page, selector) >= 4.5, selector
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    assert page.locator("figure svg").count() >= 3
    keep(page, f"report_{scheme}")


def test_on_a_phone_only_tables_scroll_sideways(open_page, small):
    page = open_page(small[0], width=390, height=800)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator(".answer").bounding_box()["x"] >= 0
    keep(page, "report_phone")


def names(page):
    return page.locator("#ranking tbody td:nth-child(2)").all_inner_texts()


def test_by_keyboard_one_sorts_filters_and_leaves(open_page, small):
    page, table = open_page(small[0]), small[1]
    fastest = list(table.sort_values("step_ms")["name"])
    button = page.get_by_role("button", name="step", exact=True)
    for _ in range(30):
        page.keyboard.press("Tab")
        if button.evaluate("element => element === document.activeElement"):
            break
    page.keyboard.press("Enter")
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("step")
    assert names(page)[0] == fastest[0]
    outline = button.evaluate("element => getComputedStyle(element).outlineStyle")
    assert outline != "none"
    page.keyboard.press("Enter")
    assert names(page)[0] == fastest[-1]
    page.get_by_label("rows that contain").focus()
    page.keyboard.type("TANH-max")
    assert set(names(page)) == set(table[table["name"].str.startswith("tanh-max")]["name"])
    assert page.get_by_role("status").inner_text() == f"{len(names(page))} trials of 100"
    page.get_by_label("batch_size").select_option("64")
    assert names(page) == ["tanh-max-64-0.001"]


@pytest.mark.slow
def test_ten_thousand_trials_are_paged_sorted_and_found(open_page, tmp_path):
    run = make_synthetic_run(tmp_path / "synthetic" / "r1", 10_000)
    results = Results.of(run)
    path, table = write_html(results, []), results.table
    assert path.stat().st_size < 5_000_000
    page = open_page(path)
    assert page.get_by_role("status").inner_text() == "1 to 100 of 10,000 trials"
    assert len(names(page)) == 100
    page.get_by_role("button", name="on", exact=True).click()
    assert page.get_by_role("status").inner_text() == "101 to 200 of 10,000 trials"
    page.get_by_role("button", name="step", exact=True).click()
    assert names(page)[0] == table.loc[table["step_ms"].idxmin(), "name"]
    last = table["name"].iloc[-1]
    page.get_by_label("rows that contain").fill(last)
    assert last in names(page)
    assert all(last in name for name in names(page))


@pytest.mark.parametrize("kind", ODD)
def test_odd_runs_run_without_a_word_on_the_console(open_page, tmp_path, kind):
    run = odd_run(tmp_path / "run", kind)
    results = Results.of(run)
    page = open_page(write_html(results, []))
    assert len(names(page)) == len(results.table)


def test_hostile_names_are_text(open_page, tmp_path):
    hostile = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\u2028&amp;"
    run = make_synthetic_run(tmp_path / "synthetic" / "r1", 200)
    lines = (run.path / "records.jsonl").read_text().splitlines()
    changed = []
    for place, line in enumerate(lines):
        values = json.loads(line)
        values["name"] = f"{hostile}{place}"
        changed.append(json.dumps(values, separators=(",", ":")))
    (run.path / "records.jsonl").write_text("\n".join(changed) + "\n")
    run.experiment["question"] = hostile
    results = Results.of(run)
    path, table = write_html(results, []), results.table
    assert "<img" not in path.read_text()
    page = open_page(path)
    shown = page.locator("#ranking tbody td:nth-child(2)").all_text_contents()
    page.get_by_role("button", name="on", exact=True).click()
    shown += page.locator("#ranking tbody td:nth-child(2)").all_text_contents()
    assert sorted(shown) == sorted(table["name"])
    assert page.locator("img").count() == 0
    assert html.escape(hostile) not in shown
