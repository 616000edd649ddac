"""Headless Chromium on the pages of a web process: what it complains of, what axe-core finds, what keys do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from bench.chromium import chromium, executable
from core.errors import ServiceDown

AXE = Path(__file__).parent / "vendor" / "axe-4.14.1.min.js"
PATIENCE_MS = 30_000
DESKTOP, PHONE = 1280, 360


@contextmanager
def browser_of_this_machine() -> Iterator[Browser]:
    """A browser for some tests; they are skipped aloud where there is none."""
    try:
        executable()
    except ServiceDown as error:
        pytest.skip(error.message)
    with chromium() as running:
        yield running


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

    def looks_good(self, *more: str) -> None:
        """Nothing that axe-core finds, nothing wider than the window, on the console nothing but what begins so."""
        wrong = [f"{self.overflow} pixels too wide"] if self.overflow > 0 else []
        wrong += [*self.violations(), *(text for text in self.said if not text.startswith(more or "\0"))]
        assert not wrong, wrong


@contextmanager
def view(browser: Browser, url: str, width: int = DESKTOP, dark: bool = False) -> Iterator[View]:
    """A window that keeps to the pages' policy: what they may not do is an error on the console. axe-core, no part of
    them, is put in by the debugger, which the policy does not bind."""
    context = browser.new_context(
        base_url=url,
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
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
