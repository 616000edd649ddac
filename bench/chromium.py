"""Headless Chromium, for pictures of pages and their tests: the driver is Playwright's, from pip; the browser is the
machine's own Chromium or Chrome."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from core.errors import ServiceDown

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def executable() -> str:
    """The browser of this machine; raises `ServiceDown` where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        raise ServiceDown(f"No browser: install Chromium (`apt-get install chromium`); looked for {', '.join(NAMES)}.")
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser for a while."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
