"""The report as a reader's browser shows it: it loads alone, sorts, enlarges, fits a narrow window and prints."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from chromium import Page, find_chromium, opened

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


@pytest.fixture
def page(browser: Page, report: Path) -> Page:
    browser.requests.clear()
    browser.complaints.clear()
    browser.resize(1400)
    browser.open(report)
    return browser


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
    drawn = "document.querySelectorAll('#figure-downstream_auroc svg').length"
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


@pytest.mark.parametrize("width", [1400, 420])
def test_the_page_fits_its_window(page, width):
    page.resize(width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    hidden = """[...document.querySelectorAll("figure.drawing")].filter(
        figure => figure.getBoundingClientRect().width < 200).length"""
    assert page.evaluate(hidden) == 0


ON_PAPER = """[...document.querySelectorAll("details")].filter(one => one.checkVisibility() && one.open)
    .map(one => one.querySelector("summary").textContent)"""


def test_provenance_and_checklist_are_on_paper(page):
    closed = "document.querySelectorAll('details:not([open])').length"
    before = page.evaluate(closed)
    page.evaluate("addEventListener('beforeprint', () => { window.onPaper = " + ON_PAPER + "; })")
    pages = len(re.findall(rb"/Type\s*/Page\b", page.print_to_pdf()))
    titles = " ".join(page.evaluate("window.onPaper"))
    for part in (
        "Versions of the training jobs (",
        "Machine of the training jobs (",
        "Input checksums (SHA-256) (",
        "Configuration",
        "Runs (",
        "items",
    ):
        assert part in titles, part
    assert "Resolved recipes" not in titles
    # What was closed on the screen is closed again.
    assert page.evaluate(closed) == before
    page.evaluate("document.querySelectorAll('details').forEach(one => one.remove())")
    assert pages > len(re.findall(rb"/Type\s*/Page\b", page.print_to_pdf())) + 2


def test_it_prints(page):
    pdf = page.print_to_pdf()
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 3
    assert len(pdf) > 100_000
    assert page.complaints == []
