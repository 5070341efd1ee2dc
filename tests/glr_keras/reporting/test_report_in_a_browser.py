"""report.html in Chromium: no error, no request, sorting, photos of cells, narrow, wide and dark.

Runs where Playwright's Python package and a Chromium are installed.
"""

from itertools import pairwise

import pytest
from pages import COLOURS, OVERFLOW, contrast, luminance


@pytest.fixture
def open_page(browser, small_run):
    """Opens the report; afterwards, nothing was said on the console, and nothing was requested."""
    opened, complaints, requests = [], [], []

    def open_page(width=1400, scheme="light"):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((small_run / "report.html").as_uri())
        opened.append(context)
        return page

    yield open_page
    for context in opened:
        context.close()
    assert complaints == []
    assert {url.split(":")[0] for url in requests} <= {"file", "data"}
    assert sum(url.startswith("file:") for url in requests) == len(opened)


@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_is_as_wide_as_the_window(width, open_page):
    page = open_page(width)
    assert page.evaluate(OVERFLOW) == 0
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate(OVERFLOW) == 0


def test_a_click_on_a_column_sorts_and_another_one_turns_it_round(open_page):
    page = open_page()
    header = page.locator("#run1-table thead th").first
    names = page.locator("#run1-table tbody th")
    header.get_by_role("button").click()
    assert names.all_inner_texts() == sorted(names.all_inner_texts())
    assert header.get_attribute("aria-sort") == "ascending"
    header.get_by_role("button").press("Enter")
    assert names.all_inner_texts() == sorted(names.all_inner_texts(), reverse=True)
    assert header.get_attribute("aria-sort") == "descending"


def test_numbers_sort_as_numbers_and_unknown_ones_last(open_page):
    page = open_page()
    precision = page.locator("#run1-table tbody td:nth-child(6)")
    for falls in (False, True):
        page.get_by_role("button", name="Precision").click()
        texts = precision.all_inner_texts()
        known = [float(text.removesuffix("%")) for text in texts if text[0].isdecimal()]
        assert known == sorted(known, reverse=falls)
        assert all(text[0].isdecimal() for text in texts[: len(known)])


def test_the_filter_leaves_matching_landmarks(open_page):
    page = open_page()
    page.get_by_label("Show landmarks whose name contains").fill("DOME")
    assert page.locator("#run1-table tbody tr:visible").count() == 1
    assert page.locator("#run1-count").inner_text() == "1 of 10 shown"


def test_a_cell_opens_its_photos_by_keyboard_and_escape_closes_them(open_page):
    page = open_page()
    cell = page.locator("button.cell").first
    photos = int(cell.inner_text())
    cell.press("Enter")
    dialog = page.get_by_role("dialog")
    images = dialog.locator("img")
    assert images.count() == photos
    assert images.first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    assert " photos of " in cell.get_attribute("aria-label")
    title = dialog.get_by_role("heading").inner_text()
    assert images.first.get_attribute("alt").split(" of ", 1)[1].split(", ")[0] in title
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert cell.evaluate("cell => cell === document.activeElement")


def test_a_name_opens_all_photos_of_the_landmark(open_page):
    page = open_page()
    row = page.locator("#run1-table tbody tr").first
    row.get_by_role("button").click()
    photos = int(row.locator("td").nth(1).inner_text())
    assert page.get_by_role("dialog").locator("img").count() == photos
    page.get_by_role("button", name="Close").click()
    assert not page.get_by_role("dialog").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_the_contrast_of_wcag_aa(scheme, open_page):
    page = open_page(scheme=scheme)
    pairs = [pair.split("|") for pair in page.evaluate(COLOURS)]
    assert len(pairs) >= 4
    assert {(ink, paper) for ink, paper in pairs if contrast(ink, paper) < 4.5} == set()
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(paper) < 0.1) == (scheme == "dark")


def test_every_image_and_control_has_a_name_and_headings_nest(open_page):
    page = open_page()
    assert page.locator("img:not([alt])").count() == 0
    assert (
        page.locator("button").evaluate_all(
            "all => all.filter(b => !(b.ariaLabel || b.textContent.trim())).length"
        )
        == 0
    )
    levels = page.locator("main :is(h2, h3, h4), header h1").evaluate_all(
        "all => all.map(heading => Number(heading.tagName[1]))"
    )
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
