"""Take the pictures of docs/web.md: python tests/helpers/page_screenshots.py [FOLDER]."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from browser_program import find, start
from PIL import Image
from served_page import ServedPage

REPOSITORY = Path(__file__).resolve().parents[2]
DESKTOP = {"viewport": {"width": 1120, "height": 700}}
PHONE = {"viewport": {"width": 390, "height": 760}, "is_mobile": True, "has_touch": True}


def take(url: str, folder: Path) -> None:
    """Take all pictures of a page."""
    path = find()
    if path is None:
        raise FileNotFoundError(
            "no Chromium here; browser_program.py --install lets apt install it"
        )
    with start(path) as browser:
        page = browser.new_page(**DESKTOP)
        page.goto(url)
        page.locator(".examples button").nth(2).click()
        page.wait_for_selector(".characters")
        page.wait_for_timeout(2000)  # the results fade in
        page.screenshot(path=folder / "web_read.png")
        page.get_by_role("tab", name="Mask").click()
        page.wait_for_timeout(500)
        page.screenshot(path=folder / "web_mask.png")
        phone = browser.new_page(**PHONE)
        phone.goto(url)
        phone.locator(".examples button").nth(0).tap()
        phone.wait_for_selector(".characters")
        phone.wait_for_timeout(2000)
        phone.screenshot(path=folder / "web_phone.png", full_page=True)


def main() -> int:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else REPOSITORY / "docs" / "images")
    with tempfile.TemporaryDirectory() as temporary:
        server = ServedPage(Path(temporary))
        try:
            take(server.url, folder)
        finally:
            server.end()
    for path in sorted(folder.glob("web_*.png")):
        Image.open(path).quantize(128).save(path, optimize=True)
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
