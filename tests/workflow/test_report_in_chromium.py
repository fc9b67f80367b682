"""The report as a reader's browser shows it: it loads alone, answers, sorts, filters, fits its window and prints."""

import importlib.util
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from chromium import Page, find_chromium, opened
from demo_page import write_demo_page

CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed (apt-get install chromium)"),
]

COLUMN = """(() => {
  const table = document.querySelector("#table-%s table"), head = table.tHead.rows[0].cells[%d];
  head.querySelector("button").click();
  const cells = [...table.tBodies[0].rows].map(row => row.cells[%d].textContent.trim());
  return [head.getAttribute("aria-sort"), cells];
})()"""


@pytest.fixture(scope="module")
def report(tiny_run) -> Path:
    return tiny_run.results / "tiny" / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Page]:
    assert CHROMIUM is not None
    with opened(CHROMIUM, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def demo_page(tmp_path_factory) -> Path:
    return write_demo_page(tmp_path_factory.mktemp("demo"))


def shown(browser: Page, path: Path, width: int = 1400) -> Page:
    browser.requests.clear()
    browser.complaints.clear()
    browser.resize(width)
    browser.open(path)
    return browser


@pytest.fixture
def page(browser: Page, report: Path) -> Page:
    return shown(browser, report)


@pytest.fixture(params=[1400, 400])
def large_page(browser: Page, demo_page: Path, request) -> Page:
    return shown(browser, demo_page, request.param)


def numbers(cells: list[str]) -> list[float]:
    return [float(cell.split("[")[0].replace(",", "")) for cell in cells if re.match(r"-?\d", cell)]


def test_it_loads_nothing_but_itself_and_without_a_complaint(page, report):
    assert page.requests == [report.as_uri()]
    assert page.complaints == []
    assert page.evaluate("document.querySelectorAll('figure.drawing svg').length") > 8
    assert page.evaluate("document.title").startswith("Study tiny")


def test_a_column_of_numbers_sorts_up_and_down(page):
    for direction, ordered in (("ascending", float.__le__), ("descending", float.__ge__)):
        found, cells = page.evaluate(COLUMN % ("downstream_main", 4, 4))
        assert found == direction
        values = numbers(cells)
        assert len(values) == 3
        assert all(ordered(first, second) for first, second in pairwise(values))


def test_a_column_of_text_sorts_and_no_row_is_lost_anywhere(page):
    rows = "[...document.querySelectorAll('table.sortable tbody')].map(body => body.rows.length)"
    before = page.evaluate(rows)
    _, cells = page.evaluate(COLUMN % ("domain_adaptation", 1, 1))
    assert cells == sorted(cells)
    page.evaluate("document.querySelectorAll('table.sortable thead button').forEach(button => button.click())")
    assert page.evaluate(rows) == before
    assert page.complaints == []


def test_a_figure_enlarges_and_goes_back(page):
    drawn = "document.querySelectorAll('#figure-downstream_auroc .wide svg').length"
    assert page.evaluate(drawn) == 1
    page.evaluate("document.querySelector('#figure-downstream_auroc .enlarge').click()")
    assert page.evaluate("document.querySelector('dialog').open")
    width = page.evaluate("document.querySelector('dialog svg').getBoundingClientRect().width")
    assert width > 1000
    assert page.evaluate(drawn) == 0
    page.evaluate("document.querySelector('dialog button').click()")
    page.evaluate("new Promise(done => setTimeout(done, 100))")
    assert not page.evaluate("document.querySelector('dialog').open")
    assert page.evaluate(drawn) == 1


def test_rows_link_to_their_runs(page, report):
    links = page.evaluate("[...document.querySelectorAll('table a')].map(a => a.href)")
    assert len(links) >= 4 + 2 + 8
    assert all(re.fullmatch(r"http://127\.0\.0\.1:5000/#/runs/[0-9a-f]{32}", link) for link in links)
    # What is linked is not fetched.
    assert page.requests == [report.as_uri()]


def test_nothing_empty_stands_in_the_page(page):
    empty = """[...document.querySelectorAll("tbody, section, .grid, details")].filter(
        one => !one.textContent.trim() || (one.tagName == "TBODY" && !one.rows.length)).length"""
    assert page.evaluate(empty) == 0
    assert "no such row" not in page.evaluate("document.body.textContent")


LAST_OF_OPENING = "Math.round(document.querySelector('.caveats').getBoundingClientRect().bottom + scrollY)"


def test_the_first_screen_holds_the_answer(browser, demo_page):
    assert shown(browser, demo_page).evaluate(LAST_OF_OPENING) <= 900
    narrow = shown(browser, demo_page, 400)
    assert narrow.evaluate("document.querySelector('.answers').getBoundingClientRect().bottom") <= 800
    figures = "['wide', 'narrow'].map(one => document.querySelector(`#answer .${one}`).checkVisibility())"
    assert narrow.evaluate(figures) == [False, True]
    assert narrow.evaluate("document.querySelector('.contents details').open") is False


# Parts that run over their own edge, those apart that scroll by themselves.
CLIPPED = """[...document.querySelectorAll("main *:not(svg *)")].filter(one => one.checkVisibility()
    && !one.closest(".scroll, pre, dialog") && one.clientWidth && one.scrollWidth > one.clientWidth + 1)
    .map(one => `${one.tagName}.${one.className}: ${one.textContent.trim().slice(0, 60)}`)"""
# Texts of the main figure that lie upon each other, or beyond its edge.
OVERLAPPING = """(() => {
  const canvas = [...document.querySelectorAll("#answer .canvas")].find(one => one.checkVisibility());
  const frame = canvas.querySelector("svg").getBoundingClientRect(), found = [];
  const texts = [...canvas.querySelectorAll("text")].map(one => [one.textContent, one.getBoundingClientRect()]);
  texts.forEach(([text, box], place) => {
    if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1) found.push(text);
    for (const [other, its] of texts.slice(place + 1)) {
      const apart = box.right <= its.left + 1 || its.right <= box.left + 1
        || box.bottom <= its.top + 3 || its.bottom <= box.top + 3;
      if (!apart) found.push(`${text} / ${other}`);
    }
  });
  return found;
})()"""
OPEN_ALL = "document.querySelectorAll('details').forEach(one => { one.open = true; })"


def test_nothing_overlaps_or_is_clipped(large_page):
    assert large_page.evaluate(OVERLAPPING) == []
    for _ in range(2):  # folded, and unfolded
        assert large_page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert large_page.evaluate(CLIPPED) == []
        large_page.evaluate(OPEN_ALL)
    assert large_page.complaints == []


@pytest.mark.parametrize("width", [1400, 400])
def test_the_page_of_a_study_fits_its_window(browser, report, width):
    page = shown(browser, report, width)
    page.evaluate(OPEN_ALL)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CLIPPED) == []


CHOICE = """(() => {
  const figure = document.querySelector("#figure-roc_pr_los");
  const lines = new Set([...figure.querySelectorAll("[data-series]:not(.off)")].map(one => one.dataset.series));
  const boxes = [...figure.querySelectorAll("input")];
  return [[...lines].sort(), boxes.filter(one => one.checked).map(one => one.value).sort(),
    boxes.filter(one => one.disabled).length, boxes.length];
})()"""


def test_readers_choose_at_most_four_curves(browser, demo_page):
    page = shown(browser, demo_page)
    lines, checked, disabled, boxes = page.evaluate(CHOICE)
    assert lines == checked
    assert 0 < len(checked) <= 4
    click = "document.querySelector('#figure-roc_pr_mortality input:not(:checked):not(:disabled)').click()"
    for _ in range(4 - len(checked)):
        page.evaluate(click)
    # What is chosen in one figure is chosen in all.
    lines, checked, disabled, boxes = page.evaluate(CHOICE)
    assert lines == checked
    assert len(checked) == 4
    assert disabled == boxes - 4 > 0


FILTER = """(() => {
  const figure = document.querySelector("#table-calibration-los"), field = figure.querySelector("input");
  figure.closest("details").open = true;
  field.value = "%s";
  field.dispatchEvent(new Event("input"));
  return [...figure.querySelectorAll("tbody tr")].filter(one => one.checkVisibility()).map(one => one.innerText);
})()"""


def test_a_long_table_filters(browser, demo_page):
    page = shown(browser, demo_page)
    assert len(page.evaluate(FILTER % "")) == 27
    found = page.evaluate(FILTER % "bert 3")
    assert 0 < len(found) < 27
    assert all("BERT" in row and "3" in row for row in found)


POINT = """(() => {
  const mark = document.querySelector("#answer .wide .mark"), box = mark.getBoundingClientRect();
  mark.dispatchEvent(new PointerEvent("pointermove", {bubbles: true, clientX: box.x + 5, clientY: box.y + 5}));
  const tip = document.getElementById("tip");
  return [tip.hidden, tip.textContent];
})()"""


def test_a_point_says_its_model_interval_and_size(browser, demo_page):
    hidden, text = shown(browser, demo_page).evaluate(POINT)
    assert not hidden
    assert re.search(r"\n.*: AUROC [\d.]+ % \[[\d.]+, [\d.]+\], n = 187, 2 seeds$", text)


AXE = importlib.util.find_spec("axe_core_python")
# Axe looks at every element: rows like others and the inside of drawings, which are images to it, are taken out.
TRIM = """document.querySelectorAll(".canvas svg").forEach(one => one.replaceChildren());
document.querySelectorAll("tbody tr:nth-child(n + 3)").forEach(one => one.remove());"""
FAULTS = """axe.run(document, {resultTypes: ["violations"]}).then(found => found.violations.map(
    one => [one.id, one.nodes.length, one.nodes[0].html.slice(0, 200)]))"""


@pytest.mark.skipif(AXE is None, reason="axe-core-python is not installed (make install)")
def test_axe_finds_no_fault(large_page):
    assert AXE is not None
    assert AXE.origin is not None
    large_page.evaluate(OPEN_ALL)
    large_page.evaluate(TRIM)
    script = Path(AXE.origin).with_name("axe.min.js").read_text(encoding="utf-8")
    large_page.evaluate(f"{script}; true")
    assert large_page.evaluate(FAULTS) == []


def pages_of(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def test_a_page_of_the_demos_size_prints_on_twelve_pages(browser, demo_page):
    page = shown(browser, demo_page)
    folded = pages_of(page.print_to_pdf())
    assert 3 < folded <= 12
    page.evaluate(OPEN_ALL)
    assert pages_of(page.print_to_pdf()) > folded
    assert page.complaints == []


ON_PAPER = """(() => {
  const style = (one, name) => getComputedStyle(one)[name];
  const shown = [...document.querySelectorAll("main *")].filter(one => one.checkVisibility());
  return {
    orphans: shown.filter(one => /^H[123]$/.test(one.tagName) && style(one, "breakAfter") !== "avoid").length,
    folded: shown.filter(one => one.tagName === "DETAILS" && !one.open).length,
    said: document.querySelector(".paper").checkVisibility(),
    wide: document.documentElement.scrollWidth <= innerWidth,
    legend: [...document.querySelectorAll(".chooser")].filter(one => one.checkVisibility()).every(
      one => [...one.querySelectorAll("label")].every(
        label => label.checkVisibility() === label.querySelector("input").checked)),
  };
})()"""


def test_paper_has_no_orphaned_heading_and_no_folded_part(browser, demo_page):
    page = shown(browser, demo_page, 1032)  # the text area of A4 across
    page.call("Emulation.setEmulatedMedia", media="print")
    try:
        found = page.evaluate(ON_PAPER)
        clipped = page.evaluate(CLIPPED)
    finally:
        page.call("Emulation.setEmulatedMedia", media="")
    assert found == {"orphans": 0, "folded": 0, "said": True, "wide": True, "legend": True}
    assert clipped == []


def test_it_prints(page):
    pdf = page.print_to_pdf()
    assert pdf.startswith(b"%PDF")
    assert pages_of(pdf) > 3
    assert len(pdf) > 100_000
    assert page.complaints == []
