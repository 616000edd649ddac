"""Forms in headless Chromium: what is wrong with one, what-if and its answer, the first key."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser
from sqlalchemy import delete

from core.database import transaction
from core.tenant_tables import ApiKey
from scheduler.control.what_ifs import answer_what_ifs
from tests.app.web.browser import DESKTOP, PHONE, view
from tests.app.web_process import Web

REFUSED = "Failed to load resource"  # so Chromium calls a page that comes with 400 or 401


def test_a_form_that_is_wrong_says_so_and_keeps_what_was_written(site: Web, browser: Browser) -> None:
    for width, dark in ((DESKTOP, False), (PHONE, True)):
        with view(browser, site.url, width, dark) as shown:
            shown.opens("/")
            shown.page.locator("#prompts").fill("a fox")
            shown.page.locator("#seed").fill("many")
            shown.page.get_by_role("button", name="Generate", exact=True).click()
            shown.page.locator("#problem").wait_for()
            assert shown.page.locator("#seed").get_attribute("aria-invalid") == "true"
            assert shown.page.locator("#prompts").input_value() == "a fox"
            shown.looks_good(REFUSED)


def test_what_if_is_asked_and_found(site: Web, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.simulate.what_if.MOST", 40)
    with view(browser, site.url) as shown:
        shown.opens("/dashboard")
        shown.page.locator("#policy").select_option("pac")
        shown.page.get_by_role("button", name="Simulate the last hour").click()
        shown.page.get_by_text("Waiting for the scheduler").wait_for()
        assert answer_what_ifs() == 1
        shown.page.locator("#what-if-found table").wait_for()
        assert "Simulated: pac" in shown.page.locator("#what-if-found").inner_text()
        shown.looks_good()
        address = shown.page.url
    with view(browser, site.url, PHONE, dark=True) as shown:
        shown.opens(address)
        shown.looks_good()


# --- the last: from here on this Argus demands keys ------------------------------------------------------------------


def test_the_first_key_is_made_and_signed_in_with(site: Web, browser: Browser) -> None:
    with view(browser, site.url) as shown:
        page = shown.page
        shown.opens("/keys")
        page.get_by_label("Tenant", exact=True).fill("ours")
        page.get_by_label("admin").check()
        page.get_by_role("button", name="Create").click()
        key = page.locator(".secret").inner_text()
        shown.looks_good()
        shown.opens("/gallery")
        page.wait_for_url("**/sign-in?next=/gallery")
        shown.looks_good()
        page.get_by_label("Key").fill("argus_mistyped")
        page.keyboard.press("Enter")
        page.get_by_text("This key is not known here.").wait_for()
        shown.looks_good(REFUSED)
        page.get_by_label("Key").fill(key)
        page.keyboard.press("Enter")
        page.wait_for_url("**/gallery")
        page.get_by_role("button", name="Sign out").wait_for()
        shown.looks_good(REFUSED)
    with view(browser, site.url, PHONE, dark=True) as shown:
        shown.opens("/sign-in")
        shown.looks_good()
    with transaction() as session:
        session.execute(delete(ApiKey))
