"""The web page in a real browser: Chromium, driven by Playwright; ``make test-web``."""

import base64
import re
import signal
import time
from urllib.parse import urlparse

import cv2
import numpy as np
import pytest
from browser_program import find, start
from made_images import encode, exif_block, pillow_bytes, word_pixels
from PIL import Image
from served_page import ServedPage

for module in ("gradio", "playwright.sync_api", "mmocr"):
    pytest.importorskip(module, reason=f"the tests of the page need {module}: make test-web")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find() is None, reason="no Chromium here: make test-web"),
]
LOCAL = {"127.0.0.1", "localhost"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    page = ServedPage(tmp_path_factory.mktemp("page"))
    yield page
    if page.process.poll() is None:
        page.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def browser():
    with start(find()) as started:
        yield started


@pytest.fixture
def open_page(browser, server):
    """Opens the page, each time as another user; all requests have to be local."""
    contexts, requests, errors = [], [], []

    def open_it(**options):
        context = browser.new_context(**{"viewport": dict(width=1280, height=900)} | options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("request", lambda request: requests.append(request.url))
        page.on("websocket", lambda socket: requests.append(socket.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(server.url)
        page.wait_for_selector(".examples button")
        return page

    yield open_it
    for context in contexts:
        context.close()
    hosts = {urlparse(url).hostname for url in requests if not url.startswith("data:")}
    assert hosts == {"127.0.0.1"}
    assert len(requests) > 10
    assert errors == []


@pytest.fixture
def page(open_page):
    return open_page()


@pytest.fixture(scope="module")
def word_files():
    """Files of rendered words, by name."""
    from mms_ocr.apis.web.inputs import render_examples

    words = render_examples()
    return {f"{word.name.split()[-1]}.png": encode(word.image) for word in words}


def sent(name, data):
    return dict(name=name, mimeType="application/octet-stream", buffer=data)


def upload(page, files, zone="Drop word images here"):
    page.get_by_label(zone).set_input_files([sent(name, data) for name, data in files.items()])


def texts(page, count):
    """Wait for the texts of ``count`` words."""
    page.wait_for_function(f"document.querySelectorAll('.characters').length == {count}")
    return [text.split()[0] for text in page.locator("p.text").all_inner_texts()]


def message(page):
    return page.get_by_role("alert").first.inner_text()


def choose(page, name):
    page.get_by_role("tab", name=name).click()


def loaded(page, selector):
    """Sizes of the pictures that the browser has decoded."""
    script = "all => all.map(each => [each.naturalHeight, each.naturalWidth])"
    return page.locator(selector).evaluate_all(script)


def test_files_are_read_with_the_confidence_of_each_character(page, word_files):
    names = ["Museum.png", "Platform.png"]
    upload(page, {name: word_files[name] for name in names})
    assert texts(page, 2) == ["Museum", "Platform"]
    assert page.locator(".card h3").all_inner_texts()[:2] == names
    marks = page.locator(".characters").nth(1).locator("li")
    assert "".join(marks.locator("b").all_inner_texts()) == "Platform"
    values = [int(value) for value in marks.locator("small").all_inner_texts()]
    assert all(0 <= value <= 100 for value in values)
    levels = [mark.get_attribute("class") for mark in marks.all()]
    for value, level in zip(values, levels):
        assert level in ("sure" if value >= 90 else "doubtful" if value < 60 else "unsure", "sure")


def test_what_is_no_image_is_named_and_the_last_words_stay(page, word_files):
    upload(page, {"Harbor.png": word_files["Harbor.png"]})
    assert texts(page, 1) == ["Harbor"]
    upload(page, {"notes.png": b"these are no pixels"})
    assert "notes.png" in message(page)
    assert texts(page, 1) == ["Harbor"]
    upload(
        page, {"cut.png": word_files["Museum.png"][:-30], "Coffee.png": word_files["Coffee.png"]}
    )
    page.wait_for_function("document.querySelector('.card h3').innerText == 'Coffee.png'")
    assert "cut.png" in message(page)


@pytest.mark.parametrize(
    ("name", "data", "named"),
    [
        ("large.png", bytes(21_000_000), "20 MB"),
        ("wide.png", pillow_bytes(Image.new("1", (8000, 4000))), "8000"),
    ],
)
def test_images_that_are_too_large_are_refused_with_the_limit(page, tmp_path, name, data, named):
    (tmp_path / name).write_bytes(data)
    page.get_by_label("Drop word images here").set_input_files(tmp_path / name)
    assert named in message(page)
    assert name in message(page)


def test_unusual_files_are_decoded(page):
    levels = np.arange(1200, dtype=np.uint16).reshape(20, 60) * 50
    transparent = Image.fromarray(np.dstack([word_pixels(1), np.full((20, 60), 99, np.uint8)]))
    files = {
        "one_pixel.png": encode(np.zeros((1, 1, 3), np.uint8)),
        "16_bits.png": pillow_bytes(levels),
        "transparent.png": pillow_bytes(transparent),
        "rotated.jpg": pillow_bytes(word_pixels(2), "JPEG", exif=exif_block(6)),
    }
    upload(page, files)
    page.wait_for_function("document.querySelectorAll('.card .thumb').length == 4")
    assert loaded(page, ".thumb img") == [[1, 1], [20, 60], [20, 60], [60, 20]]
    assert page.get_by_role("alert").count() == 0


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_images_can_be_pasted_and_dropped(page, word_files, kind):
    data = base64.b64encode(word_files["Pretrain.png"]).decode()
    page.evaluate(
        """([kind, data]) => {
          const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], "word.png", { type: "image/png" }));
          const event = kind === "paste"
            ? new ClipboardEvent(kind, { clipboardData: transfer, bubbles: true })
            : new DragEvent(kind, { dataTransfer: transfer, bubbles: true });
          document.querySelector(kind === "paste" ? "body" : ".drop").dispatchEvent(event);
        }""",
        [kind, data],
    )
    assert texts(page, 1) == ["Pretrain"]


def test_the_cut_out_can_be_downloaded_with_transparency(page, word_files):
    upload(page, {"Museum.png": word_files["Museum.png"]})
    texts(page, 1)
    choose(page, "Cut out")
    image, mask, cutout = loaded(page, ".panels img:visible")
    assert image == mask == cutout
    with page.expect_download() as download:
        page.get_by_role("link", name="Download cut-out").click()
    pixels = cv2.imread(str(download.value.path()), cv2.IMREAD_UNCHANGED)
    assert list(pixels.shape) == [*image, 4]
    assert pixels[:, :, 3].min() < 50 < 200 < pixels[:, :, 3].max()


def test_sharpened_words_are_twice_as_large(page, word_files):
    upload(page, {"Coffee.png": word_files["Coffee.png"]})
    texts(page, 1)
    choose(page, "Sharpen")
    before, after = loaded(page, ".panels img:visible")
    assert after == [2 * side for side in before]


def test_masks_follow_the_strategy_and_the_slider(page, word_files):
    upload(page, {"Museum.png": word_files["Museum.png"]})
    texts(page, 1)
    choose(page, "Mask")

    def masked():
        return page.locator(".panels img:visible").nth(1).get_attribute("src")

    def changes(action):
        before = masked()
        action()
        page.wait_for_function(
            "old => [...document.querySelectorAll('.panels img')].filter(each => each.offsetParent)"
            "[1]?.src != old",
            arg=before,
        )
        page.wait_for_selector(".panels figure:nth-child(3) img:visible")

    def gray():
        data = base64.b64decode(masked().partition(",")[2])
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).astype(int)
        return (np.abs(image - 127.5) < 1).all(axis=2).mean()

    assert gray() == pytest.approx(0.6, abs=0.05)
    slider = page.get_by_role("slider")
    slider.focus()
    changes(lambda: slider.press("ArrowRight"))
    for _ in range(5):
        changes(lambda: slider.press("ArrowRight"))
    assert gray() == pytest.approx(0.9, abs=0.05)
    changes(lambda: page.get_by_label("spans").check())
    assert page.locator("figcaption:visible").all_inner_texts()[1] == "spans"
    changes(lambda: page.get_by_role("button", name="Draw other masks").click())
    changes(lambda: page.get_by_label("mixed").check())


def test_boxes_in_a_photograph_are_read(page, word_files):
    choose(page, "Photograph")
    page.get_by_role("button", name="Try a sheet").click()
    page.wait_for_selector(".photo img")
    box = page.locator(".photo").bounding_box()

    def at(x, y):
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    page.mouse.move(*at(0.005, 0.01))
    page.mouse.down()
    page.mouse.move(*at(0.3, 0.2))
    assert page.locator(".photo .box").count() == 1
    page.mouse.move(*at(0.395, 0.32))
    page.mouse.up()
    assert texts(page, 1) == ["Museum"]
    page.get_by_role("button", name="Box by numbers").click()
    for label, value in dict(Left=51, Top=1, Width=30, Height=31).items():
        page.get_by_label(label).fill(str(value))
    page.get_by_role("button", name="Add box").click()
    assert texts(page, 2)[1].startswith("Harbo")
    assert page.locator(".photo .box").count() == 2
    photograph = cv2.copyMakeBorder(word_pixels(0), 40, 40, 40, 40, cv2.BORDER_REPLICATE)
    upload(page, {"photo.png": encode(photograph)}, "Drop a photograph here")
    page.wait_for_function("!document.querySelector('.photo .box')")
    assert loaded(page, ".photo img") == [[100, 140]]
    upload(page, {"photo.txt": b"no photograph"}, "Drop a photograph here")
    assert "photo.txt" in message(page)


def test_everything_works_by_keyboard(page):
    page.keyboard.press("Tab")
    for _ in range(20):
        label = page.evaluate("document.activeElement.getAttribute('aria-label') ?? ''")
        if label.startswith("Example"):
            break
        page.keyboard.press("Tab")
    assert label == "Example: rendered word Museum"
    page.keyboard.press("Enter")
    assert texts(page, 1) == ["Museum"]


def test_controls_have_names_and_pictures_have_texts(page):
    page.locator(".examples button").first.click()
    texts(page, 1)
    choose(page, "Mask")
    missing = page.evaluate(
        """() => [...document.querySelectorAll('input, button, img, select, textarea')]
          .filter((each) => each.offsetParent || each.closest('.drop'))
          .filter((each) => each.tagName === 'IMG' ? !each.hasAttribute('alt')
            : !(each.getAttribute('aria-label') || each.innerText || each.labels?.length
                || each.title || each.getAttribute('aria-labelledby')))
          .map((each) => each.outerHTML.slice(0, 200))"""
    )
    assert missing == []
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.title() == "mms_ocr"
    assert "research only" in page.locator("footer.page-foot").inner_text()


def test_the_page_fits_a_phone(open_page):
    page = open_page(viewport=dict(width=360, height=740), is_mobile=True, has_touch=True)
    page.locator(".examples button").nth(5).tap()
    assert len(texts(page, 1)) == 1
    for name in ("Cut out", "Sharpen", "Mask", "Read", "Photograph"):
        page.get_by_role("tab", name=name).tap()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_two_users_see_their_own_words(open_page, word_files):
    first, second = open_page(), open_page()
    upload(first, {"Museum.png": word_files["Museum.png"]})
    upload(second, {"Harbor.png": word_files["Harbor.png"]})
    assert texts(second, 1) == ["Harbor"]
    assert texts(first, 1) == ["Museum"]
    second.get_by_role("button", name="Clear").click()
    second.wait_for_function("!document.querySelector('.characters')")
    first.locator(".examples button").nth(2).click()
    first.wait_for_function("document.querySelector('p.text').innerText.startsWith('Platform')")


def test_uploads_to_gradio_are_refused_and_nothing_is_stored(server, page, word_files):
    upload(page, word_files)
    assert len(texts(page, len(word_files))) == len(word_files)
    answer = page.request.post(
        f"{server.url}gradio_api/upload",
        multipart={"files": dict(name="a.png", mimeType="image/png", buffer=b"abc")},
    )
    assert answer.status == 413
    assert server.files() == []
    used = set(re.findall(r"(?:connect|look up) (.*)", server.connections.read_text()))
    assert used <= LOCAL, "the server has asked another machine"


def test_a_closed_page_is_forgotten(browser, word_files, monkeypatch, tmp_path):
    from mms_ocr.apis.web.page import build_page
    from mms_ocr.apis.web.results import PageModels
    from mms_ocr.apis.web.serving import choose_port, launch_options

    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    served = build_page(PageModels(device="cpu"))
    _, url, _ = served.launch(**launch_options("127.0.0.1", choose_port("127.0.0.1", 0)))
    try:
        sessions = served.state_holder.session_data
        contexts = [browser.new_context() for _ in range(2)]
        for context in contexts:
            page = context.new_page()
            page.goto(url)
            upload(page, {"Museum.png": word_files["Museum.png"]})
            assert texts(page, 1) == ["Museum"]
        assert len(sessions) == 2
        contexts[0].close()
        deadline = time.monotonic() + 20
        while len(sessions) > 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(sessions) == 1
        page.get_by_role("tab", name="Mask").click()
        page.get_by_label("blocks").check()
        page.wait_for_function(
            "[...document.querySelectorAll('figcaption')].some(each => each.innerText == 'blocks')"
        )
        contexts[1].close()
    finally:
        served.close(verbose=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_with_one_line_and_no_files(tmp_path, browser, word_files, number):
    server = ServedPage(tmp_path / "page")
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    upload(page, {"Museum.png": word_files["Museum.png"]})
    assert texts(page, 1) == ["Museum"]
    status, output = server.end(number)
    context.close()
    assert (status, output.splitlines()) == (0, ["mms-ocr web: ended"])
    assert list(server.temporary.glob("mms_ocr*")) == []
    assert server.files() == []
    assert "Traceback" not in (server.folder / "errors.txt").read_text()
    hosts = set(re.findall(r"(?:connect|look up) (.*)", server.connections.read_text()))
    assert hosts <= LOCAL
