"""The page in Chromium: photos dropped, chosen and pasted; no error, no request elsewhere."""

import base64
from itertools import pairwise

import pytest
from pages import COLOURS, OVERFLOW, contrast, luminance
from photo_files import encode, picture
from serving_app import serving_model

import glr_keras
from glr_keras.serving.limits import Limits

pytestmark = pytest.mark.slow
SCRIPT = "<script>alert(1)</script>"
# As a browser does it: the file comes with an event.
TRANSFER = """([kind, name, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name));
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
    : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
  document.getElementById("drop").dispatchEvent(event);
}"""
PICTURE = "canvas => canvas.toDataURL()"


@pytest.fixture(scope="module")
def address(small_run, small_model):
    with serving_model(small_run, small_model, Limits(photo_bytes=200_000)) as address:
        yield address


@pytest.fixture
def open_page(browser, address):
    """Opens the page; afterwards, nothing was said on the console or asked of others."""
    opened, complaints, requests = [], [], []
    expected = set()  # statuses that the console may complain of

    def open_page(width=1400, scheme="light", at=address, statuses=()):
        expected.update(statuses)
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append("a dialog"))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(at)
        opened.append((context, at))
        return page

    yield open_page
    for context, _ in opened:
        context.close()
    told = [text for text in complaints if not any(f"status of {one}" in text for one in expected)]
    assert told == []
    allowed = (*(f"{at}/" for _, at in opened), "blob:", "data:")
    assert [url for url in requests if not url.startswith(allowed)] == []


def drop(page, contents, name="photo.jpg", kind="drop"):
    page.evaluate(TRANSFER, [kind, name, base64.b64encode(contents).decode()])


@pytest.fixture(scope="module")
def photo(demo_photos):
    return demo_photos[7].read_bytes()


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_photo_that_comes_gets_its_answer(kind, open_page, photo):
    page = open_page()
    drop(page, photo, kind=kind)
    page.locator("#result").wait_for()
    rows = page.locator("#landmarks .row")
    assert rows.count() == 5
    scores = [float(text.removesuffix(" %")) for text in rows.locator(".number").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    assert page.locator("#verdict").inner_text() == rows.locator(".name").first.inner_text()
    assert page.locator("#verdict").inner_text() in page.locator("#status").inner_text()
    page.get_by_role("button", name="Show 5 more").click()
    assert rows.count() == 10


def test_the_slider_sets_the_opacity_of_the_map(open_page, photo):
    page = open_page()
    drop(page, photo)
    page.locator("#result").wait_for()
    slider = page.get_by_label("Map opacity")
    opacity = "map => Number(getComputedStyle(map).opacity)"
    assert page.locator("#map").evaluate(opacity) == pytest.approx(0.55)
    slider.press("End")
    assert page.locator("#map").evaluate(opacity) == 1
    slider.press("Home")
    assert page.locator("#map").evaluate(opacity) == 0
    assert page.locator("#opacity-shown").inner_text() == "0 %"


def test_a_click_on_a_landmark_shows_its_map_and_photos_and_another_one_takes_it_back(
    open_page, photo
):
    page = open_page()
    drop(page, photo)
    page.locator("#result").wait_for()
    first = page.locator("#map").evaluate(PICTURE)
    row = page.locator("#landmarks .row").nth(2)
    name = row.locator(".name").inner_text()
    row.press("Enter")
    page.get_by_text(f"What speaks for {name}.").wait_for()
    assert page.locator("#map").evaluate(PICTURE) != first
    assert row.get_attribute("aria-pressed") == "true"
    assert row.evaluate("row => row === document.activeElement")
    assert page.locator("#known-title").inner_text() == f"Known photos of {name}"
    images = page.locator("#neighbours img")
    assert images.count() == 3
    assert images.first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    page.get_by_role("button", name="Show the first map again").click()
    page.get_by_text("Where the model looked").wait_for()
    assert page.locator("#map").evaluate(PICTURE) == first


def test_an_example_is_answered(open_page):
    page = open_page()
    page.locator("#example-photos button").first.click()
    page.locator("#result").wait_for()
    assert page.locator("#photo").evaluate("image => image.naturalWidth") > 100


def test_a_photo_the_browser_can_not_show_is_shown_as_the_model_has_it(open_page, tmp_path):
    path = tmp_path / "photo.tif"
    path.write_bytes(encode(picture(90, 70), "TIFF"))
    page = open_page()
    page.get_by_label("Choose a photo").set_input_files(path)
    page.locator("#result").wait_for()
    page.wait_for_function("document.getElementById('photo').naturalWidth === 90")


def test_what_is_no_photo_gets_a_message(open_page, photo):
    page = open_page(statuses=(415, 422))
    for contents, text in (
        (b"hello", "No decoder knows the file"),
        (photo[:900], "starts well and then ends early"),
        (bytes(200_001), "It has 0.2 MB, and this server takes 0.2 MB."),
    ):
        drop(page, contents)
        page.get_by_role("alert").get_by_text(text).wait_for()
        assert not page.locator("#result").is_visible()
    drop(page, photo)
    page.locator("#result").wait_for()
    assert not page.get_by_role("alert").is_visible()


def test_names_are_text(small_run, open_page, photo):
    model = glr_keras.load(small_run)
    model.landmarks = [f"{SCRIPT}{number}" for number in range(10)]
    with serving_model(small_run, model) as address:
        page = open_page(at=address)
        drop(page, photo)
        page.locator("#result").wait_for()
        assert page.locator("#verdict").inner_text().startswith(SCRIPT)
        page.locator("#landmarks .row").first.click()
        page.get_by_text(f"What speaks for {SCRIPT}").wait_for()
        page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_page_fits_the_window_and_its_text_has_contrast(width, scheme, open_page, photo):
    page = open_page(width, scheme)
    page.locator("#examples").wait_for()
    assert page.evaluate(OVERFLOW) == 0
    drop(page, photo)
    page.locator("#result").wait_for()
    assert page.evaluate(OVERFLOW) == 0
    pairs = [pair.split("|") for pair in page.evaluate(COLOURS)]
    assert len(pairs) >= 4
    assert {(ink, paper) for ink, paper in pairs if contrast(ink, paper) < 4.5} == set()
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(paper) < 0.1) == (scheme == "dark")


def test_everything_has_a_name_and_headings_nest(open_page, photo):
    page = open_page()
    drop(page, photo)
    page.locator("#result").wait_for()
    assert page.locator("img:not([alt])").count() == 0
    for control in page.locator("button:visible, input[type=range]").all():
        assert control.evaluate("c => (c.labels?.[0] ?? c).textContent.trim()")
    levels = page.locator(":is(h1, h2, h3):visible").evaluate_all(
        "all => all.map(heading => Number(heading.tagName[1]))"
    )
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
