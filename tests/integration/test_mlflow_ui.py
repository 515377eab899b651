"""The printed links in a real browser, against a real server: what a person sees after one click.

Needs Chromium and the `playwright` package; skipped where one is missing. With LENET_BENCH_SCREENSHOTS set to a folder
the pages are kept there as pictures.
"""

import dataclasses
import re

import pytest
from fakes.browser import ARGUMENTS, CHROMIUM, keep, needs_chromium
from fakes.tracked_run import make_run, sync

from bench.tracking.links import find_links
from bench.tracking.server import serve
from bench.tracking.uri import resolve_uri

playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    needs_chromium,
]

KNOWN = (
    "users/current",  # asked for by MLflow's own page; a server without accounts has none
    "404 (Not Found)",  # the same, as the console says it
    "Expected number",  # MLflow's parallel coordinates, drawn once before their card has a height
    "Trailing garbage",
    "Expected length",
    "A negative value is not valid",
)
ONE_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)
AXES = {"activation": ["relu", "tanh", "elu"], "batch_size": [8, 64, 128]}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The links of a sweep of nine trials, beside another sweep, on a running server."""
    folder = tmp_path_factory.mktemp("ui")
    uri = resolve_uri(f"sqlite:///{folder}/mlflow.db", folder)
    other, run = make_run(folder / "quick" / "r0", uid="other"), make_run(folder / "quick" / "r1", AXES)
    drawing = run.path / "plots" / "drawing.png"
    drawing.parent.mkdir()
    drawing.write_bytes(ONE_PIXEL)
    for one in (other, run):
        sync(one, uri, artifacts=[drawing])
    with serve(uri, port=0) as server:
        links = find_links(run, uri)
        yield dataclasses.replace(links, **{name: f"{server.url}/{place}" for name, place in vars(links).items()})


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def page(browser, request):
    """A page of a browser that was never here before; after the test its console must hold no error but the known
    ones.
    """
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    # The chat panel, which opens by itself at a first visit, takes a quarter of the width of the pictures.
    context.add_init_script("""
        localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');
        localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');
    """)
    opened, errors = context.new_page(), []
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.set_default_timeout(30_000)
    yield opened
    opened.wait_for_timeout(1_000)
    keep(opened, "mlflow_" + request.node.name.removeprefix("test_the_").split("_")[0])
    context.close()
    assert [error for error in errors if not any(known in error for known in KNOWN)] == []


def trial_names(page):
    """The names of trials on the page, from top to bottom."""
    page.get_by_role("link", name="elu-128", exact=True).first.wait_for()
    links_ = page.get_by_role("link", name=re.compile(r"^(relu|tanh|elu)-\d+$"))
    boxes = [(link.bounding_box()["y"], link.inner_text()) for link in links_.all() if link.is_visible()]
    return [name for _, name in sorted(boxes)]


def test_the_table_shows_this_sweep_sorted_with_its_columns_and_colours(page, found):
    page.goto(found.table)
    assert trial_names(page) == [f"{name}-{size}" for name in ("elu", "tanh", "relu") for size in (128, 64, 8)]
    assert page.get_by_text("9 matching runs").is_visible() or page.get_by_text("matching runs").is_visible()
    for column in ("activation", "batch_size", "test/accuracy", "test/ci95", "step/ms", "step/ci95_ms"):
        assert page.get_by_role("columnheader", name=column, exact=True).count() >= 1, column
    assert page.get_by_text("0.913", exact=True).first.is_visible()  # rounded; place 8: 0.908 + 0.005
    colors = set(re.findall(r"rgb\(\d+, \d+, \d+\)", page.content()))
    assert {"rgb(0, 114, 178)", "rgb(213, 94, 0)", "rgb(0, 158, 115)"} <= colors


def test_the_charts_are_there(page, found):
    page.goto(found.charts)
    for title in ("Parallel Coordinates", "step/ms vs. test/accuracy", "forward/ms vs. test/accuracy", "test/accuracy"):
        page.get_by_role("heading", name=title, exact=True).first.wait_for()
    page.locator(".js-plotly-plot .scatterlayer .point").first.wait_for()
    assert page.locator(".js-plotly-plot .scatterlayer .point").count() >= 9


def test_the_groups_are_averages_by_the_first_axis(page, found):
    page.goto(found.groups)
    for level in ("elu", "tanh", "relu"):
        page.get_by_text(f"Group: {level}").first.wait_for()


def test_the_compare_page_holds_the_baseline_and_the_best(page, found):
    page.goto(found.compare)
    page.get_by_text("Comparing 6 Runs from 1 Experiment").wait_for()
    assert page.get_by_text("relu-8", exact=True).first.is_visible()  # the baseline
    assert page.get_by_text("elu-128", exact=True).first.is_visible()  # the best


def test_the_tables_of_phases_stand_side_by_side(page, found):
    page.goto(found.table + "&compareRunsMode=ARTIFACT")
    page.get_by_text("phases.json").first.wait_for()
    for text in ("forward", "backward", "step", "19.8"):  # the last: milliseconds of elu-128's backward pass
        page.get_by_text(text, exact=True).first.wait_for()


def test_the_description_has_the_answer_and_links_that_work(page, found):
    page.goto(found.sweep)
    page.get_by_text("test accuracy 0.913").wait_for()
    assert page.locator("table").get_by_text("elu-128", exact=True).count() == 1
    assert page.get_by_text("digits (0123456789abcdef)").is_visible()
    page.get_by_text("Show more").click()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="the best beside the baseline").click()
    opened.value.get_by_text("Comparing 6 Runs from 1 Experiment").wait_for()


def test_the_files_are_shown_as_pictures_and_tables(page, found):
    page.goto(found.sweep.replace("?", "/artifacts/plots/drawing.png?"))
    page.get_by_text("69B").wait_for()
    page.locator(".image-container img, img").last.wait_for(state="attached")
    page.get_by_text("ranking.json").first.click()
    page.get_by_text("elu-128").first.wait_for()
