"""Headless Chromium on the pages of a web process: what it complains of, what axe-core finds, what keys do.

The driver is Playwright's, from pip; the browser is the machine's own Chromium or Chrome.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

AXE = Path(__file__).parent / "vendor" / "axe-4.14.1.min.js"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE_MS = 30_000
DESKTOP, PHONE = 1280, 360


def executable() -> str:
    """The browser of this machine; a test that needs one is skipped aloud where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: install Chromium (`apt-get install chromium`); looked for {', '.join(NAMES)}")
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser for some tests."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class View:
    """A page in a window of its own, and what its console said."""

    page: Page
    said: list[str] = field(default_factory=list)

    def opens(self, path: str) -> None:
        """Go there, and wait until all has been loaded."""
        answer = self.page.goto(path, wait_until="load")
        assert answer is not None
        self.said += [f"status {answer.status}"] if answer.status >= 400 else []
        self.page.wait_for_load_state("networkidle")

    @property
    def overflow(self) -> int:
        """Pixels by which the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))

    def violations(self) -> list[str]:
        """What axe-core finds, contrast and labels among it."""
        self.page.evaluate(AXE.read_text())
        found: dict[str, Any] = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [f"{each['id']}: {node['html'][:200]}" for each in found["violations"] for node in each["nodes"]]


@contextmanager
def view(browser: Browser, url: str, width: int = DESKTOP, dark: bool = False) -> Iterator[View]:
    """A window. The policy against inline scripts is set aside for axe-core alone, which Playwright puts in."""
    context = browser.new_context(
        base_url=url,
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        bypass_csp=True,
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE_MS)
    shown = View(context.new_page())
    shown.page.on("console", lambda message: shown.said.append(message.text) if message.type == "error" else None)
    shown.page.on("pageerror", lambda error: shown.said.append(str(error)))
    try:
        yield shown
    finally:
        context.close()
