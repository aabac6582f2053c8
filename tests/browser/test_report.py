"""The report in headless Chromium: it opens without errors, shows the verdict, and all plots zoom together."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raft_testbed.report import report
from raft_testbed.verdict.directory import read_run
from raft_testbed.verdict.judge import judge_run
from tests.support.runs import SECONDS, client_lines, fault, stale_history, write_run

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium")
SWITCHES = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
RANGES = """names => names.map(name => {
    const {start, end} = Bokeh.documents[0].get_model_by_name(name).x_range;
    return [start, end];
})"""
PLOTS = ["roles", "latency", "rate"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start Chromium. Skip if it is missing on a developer's machine; fail in CI."""
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium; on Debian: apt-get install chromium")
        pytest.skip("no chromium; on Debian: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write the report on a run that is ok, and on one with a violation."""
    directory = tmp_path_factory.mktemp("reports")
    skipped = {"fault": "clock_jump", "targets": [], "skipped": "processes share one clock"}
    runs = {
        "ok": write_run(directory / "ok", faults=[fault(), skipped]),
        "violation": write_run(directory / "violation", history=client_lines(stale_history())),
    }
    for name, run in runs.items():
        (directory / f"{name}.html").write_text(report.render(judge_run(read_run(run))), encoding="utf-8")
    return {name: directory / f"{name}.html" for name in runs}


@pytest.fixture
def opened(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    """Open a report; afterwards, check that it used no network and logged no error on the console."""
    contexts, errors, requests = [], [], []

    def open_page(name: str, viewport: dict[str, int], scheme: str = "light") -> Any:
        context = browser.new_context(viewport=viewport, color_scheme=scheme)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(pages[name].as_uri())
        tab.wait_for_selector("body[data-rendered]")
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("name", ["ok", "violation"])
def test_the_verdict_is_visible_when_the_report_opens(opened: Any, name: str, viewport: dict[str, int]) -> None:
    tab = opened(name, viewport)
    verdict = tab.locator("#verdict")
    assert verdict.get_attribute("data-verdict") == name
    box = tab.locator("#verdict h1").bounding_box()
    assert box["y"] + box["height"] < viewport["height"]
    assert tab.locator("#violation-0").count() == (1 if name == "violation" else 0)
    assert tab.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    for plot in PLOTS:
        canvas = tab.locator(f"#plot-{plot} canvas").first.bounding_box()
        assert canvas["width"] > viewport["width"] * 0.8


def test_a_drag_zooms_all_plots_and_reset_reverts_it(opened: Any) -> None:
    tab = opened("ok", WIDE)
    assert tab.evaluate(RANGES, PLOTS) == [[0, SECONDS]] * 3
    tab.locator("#plot-latency").scroll_into_view_if_needed()
    box = tab.locator("#plot-latency canvas").first.bounding_box()
    middle = box["y"] + box["height"] / 2
    tab.mouse.move(box["x"] + box["width"] * 0.4, middle)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * 0.5, middle, steps=5)
    tab.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=5)
    tab.mouse.up()
    tab.wait_for_function(f"() => Bokeh.documents[0].get_model_by_name('roles').x_range.end < {SECONDS}")
    zoomed = tab.evaluate(RANGES, PLOTS)
    assert zoomed[0] == zoomed[1] == zoomed[2]
    start, end = zoomed[0]
    assert 0 < start < end < SECONDS
    assert end - start == pytest.approx(SECONDS * 0.2, rel=0.2)
    frames = tab.evaluate(
        """names => names.map(name => {
            const view = Bokeh.index.get_by_id(Bokeh.documents[0].get_model_by_name(name).id);
            return view.frame.x_scale.compute(view.model.x_range.start);
        })""",
        PLOTS,
    )
    assert len({round(left) for left in frames}) == 1
    tab.evaluate("() => Bokeh.index.get_by_id(Bokeh.documents[0].get_model_by_name('rate').id).reset()")
    tab.wait_for_function(f"() => Bokeh.documents[0].get_model_by_name('roles').x_range.end == {SECONDS}")
    assert tab.evaluate(RANGES, PLOTS) == [[0, SECONDS]] * 3


def test_the_label_of_a_fault_fits_the_room(opened: Any) -> None:
    labels = """() => Bokeh.documents[0].get_model_by_name('roles').renderers
        .filter(renderer => renderer.tags.includes('labels')).at(-1).data_source.data.text[0]"""
    zoom = "([start, end]) => Bokeh.documents[0].get_model_by_name('roles').x_range.setv({start, end})"
    tab = opened("ok", NARROW)
    for span, text in (
        ([0, SECONDS], "1 process_killed"),
        ([0, 5.3], "1"),
        ([5.5, 7], "1 process_killed"),
        ([0, 5], ""),
    ):
        tab.evaluate(zoom, span)
        tab.wait_for_function(f"text => ({labels})() == text", arg=text)


def test_plots_follow_the_colour_scheme(opened: Any) -> None:
    tab = opened("violation", WIDE, "light")
    ink = "() => Bokeh.documents[0].get_model_by_name('roles').title.text_color"
    light = tab.evaluate(ink)
    tab.emulate_media(color_scheme="dark")
    tab.wait_for_function(f"light => ({ink})() != light", arg=light)
    background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(18, 18, 20)"
