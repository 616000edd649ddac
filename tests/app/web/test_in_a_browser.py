"""Pages in headless Chromium: nothing in the console, nothing that axe-core finds, nothing wider than a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from core.families import load_family
from tests.app.conftest import configured
from tests.app.web.browser import DESKTOP, PHONE, chromium, view
from tests.app.web.filled import fill
from tests.app.web_process import Web, web_process
from tests.conftest import Services, empty_tables

PAGES = ("/", "/gallery", "/dashboard", "/docs/errors", "/nowhere")


@pytest.fixture(scope="module")
def site(services: Services, family_file: Path) -> Iterator[Web]:
    """A web process over a filled database."""
    empty_tables(services)
    with configured(ARGUS_FAMILY=str(family_file)):
        fill(load_family(str(family_file)))
        with web_process(services, family_file) as running:
            yield running
    empty_tables(services)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_errors_no_violations_and_fits_a_phone(site: Web, browser: Browser, path: str) -> None:
    for width, dark in ((DESKTOP, False), (PHONE, True)):
        with view(browser, site.url, width, dark) as shown:
            shown.opens(path)
            assert shown.overflow <= 0
            assert shown.violations() == []
            expected = ["status 404", "Failed to load"] if path == "/nowhere" else []
            assert [text for text in shown.said if not text.startswith(tuple(expected) or "\0")] == []


def test_a_prompt_is_written_previewed_and_sent_with_the_keyboard_alone(site: Web, browser: Browser) -> None:
    with view(browser, site.url) as shown:
        shown.opens("/")
        keys = shown.page.keyboard  # the text field has the focus
        keys.type("a {red|green} kite")
        shown.page.locator("#preview b").first.wait_for()
        assert "1 image" in shown.page.locator("#preview").inner_text()
        assert shown.page.locator("#preview .samples li").inner_text() in ("a red kite", "a green kite")
        keys.press("Control+Enter")
        shown.page.wait_for_url("**/jobs/*")
        shown.opens("/")
        shown.page.get_by_text("Prompts you sent before").press("Enter")
        shown.page.locator("[data-prompt]").first.press("Enter")
        assert shown.page.locator("#prompts").input_value() == "a {red|green} kite"
        assert shown.said == []


def test_the_theme_that_was_chosen_stays(site: Web, browser: Browser) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    with view(browser, site.url) as shown:
        shown.opens("/")
        light = shown.page.evaluate(ground)
        for _ in range(2):
            shown.page.locator("#theme").click()
        shown.opens("/gallery")
        assert shown.page.locator("#theme-name").inner_text() == "dark"
        assert shown.page.evaluate(ground) != light
