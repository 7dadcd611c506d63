"""The Chromium of this machine, for the tests of the web page.

python tests/helpers/browser_program.py              where it is, if anywhere
python tests/helpers/browser_program.py --install    let apt install it
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGES = ("chromium", "fonts-dejavu-core")
#: Options with which Chromium starts as root and asks nothing of any other machine.
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find() -> str | None:
    """Return the path of the browser."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def install() -> str | None:
    """Let apt install it; returns why it could not."""
    if find():
        return None
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return "installing it takes apt-get and root"
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]
    for step in (["apt-get", "update"], command):
        done = subprocess.run(step, env=quiet, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            return f"{' '.join(step)} failed: {reason}"
    return None


@contextlib.contextmanager
def start(path: str) -> Iterator[Any]:
    """Start a Chromium; needs Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*OPTIONS])
        yield browser
        browser.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--install", action="store_true", help="let apt install it")
    reason = install() if parser.parse_args().install else None
    path = find()
    print(path or f"no Chromium on this machine: {reason or '--install lets apt install it'}")
    return 0 if path else 1


if __name__ == "__main__":
    sys.exit(main())
