"""Grids in headless Chromium: ten thousand images of which few are loaded, and a comparison that fills."""

from __future__ import annotations

import json
import uuid

import pytest
from playwright.sync_api import Browser, Locator
from sqlalchemy import func, select

from app.records.grid import A_CHUNK
from core.database import transaction
from core.families import load_family
from core.settings import settings
from core.tables import Request
from tests.app.conftest import draw
from tests.app.web.browser import PHONE, View, view
from tests.app.web.filled import World
from tests.app.web_process import Web

TEN_THOUSAND = 10_000


@pytest.fixture(scope="module")
def large(site: Web) -> str:
    """A job of ten thousand that all wait; its id."""
    return str(World(load_family(settings().family)).job(TEN_THOUSAND, 1, "ten thousand", open_share=1.0))


def box(shown: View, position: int) -> Locator:
    """The box of an image, which is scrolled to and loaded."""
    shown.page.locator(f'.chunk[data-start="{position - position % A_CHUNK}"]').scroll_into_view_if_needed()
    found = shown.page.locator(f'.cell[data-position="{position}"] input')
    found.wait_for(state="attached")
    return found


def counts(site: Web, job: str) -> dict[str, int]:
    found = json.loads(site.call(f"/v1/jobs/{job}?per_page=1")[1])["counts"]
    return {name: count for name, count in found.items() if count}


def test_all_but_some_of_ten_thousand_are_moved_though_few_are_loaded(site: Web, browser: Browser, large: str) -> None:
    with view(browser, site.url) as shown:
        shown.opens(f"/jobs/{large}")
        said = shown.page.locator("#selected-count")
        shown.page.get_by_role("button", name="Select all 10,000").click()
        assert said.inner_text() == "10,000 selected"
        box(shown, 7).uncheck()
        box(shown, 9_990).uncheck()
        assert said.inner_text() == "9,998 selected"
        shown.page.get_by_role("button", name="Pause 9,998").click()
        shown.page.locator("#job", has_text="9,998 paused").wait_for()
        assert counts(site, large) == {"paused": 9_998, "queued": 2}
        shown.page.get_by_role("button", name="Select all").click()
        shown.page.get_by_role("button", name="Resume 9,998").click()
        shown.page.locator("#job", has_text="9,998 accepted").wait_for()
        shown.looks_good()


def test_a_stretch_of_thousands_is_selected_from_end_to_end_and_part_of_it_taken_out(
    site: Web, browser: Browser, large: str
) -> None:
    with view(browser, site.url) as shown:
        shown.opens(f"/jobs/{large}")
        said = shown.page.locator("#selected-count")
        box(shown, 0).check()
        box(shown, 3_000).click(modifiers=["Shift"])
        assert said.inner_text() == "3,001 selected"
        assert not shown.page.locator("#beside").is_visible()
        box(shown, 2_999).uncheck()
        assert shown.page.locator("#positions").input_value() == "0-2998,3000"
        shown.page.get_by_role("button", name="Cancel 3,000").click()
        shown.page.locator("#job", has_text="3,000 cancelled").wait_for()
        shown.looks_good()
    listed = json.loads(site.call(f"/v1/jobs/{large}?state=cancelled&per_page=1&page=3000")[1])
    assert (listed["selected"], listed["requests"][0]["position"]) == (3_000, 3_000)


def test_one_of_them_is_put_first(site: Web, browser: Browser, large: str) -> None:
    with view(browser, site.url, PHONE) as shown:
        shown.opens(f"/jobs/{large}?prompt=fox&state=accepted,queued")
        shown.page.locator(".cell .pick input").first.check()
        shown.page.locator("#selected-count", has_text="1 selected").wait_for()
        shown.page.locator("#moves", has_text="Cancel").wait_for()
        shown.looks_good()
        with shown.page.expect_navigation():
            shown.page.get_by_role("button", name="Reorder").click()
        assert shown.said == []
    with transaction() as session:
        moved = select(func.count()).where(Request.job_id == uuid.UUID(large), Request.priority > 0)
        assert session.scalar(moved) == 1


def test_a_slider_stays_as_it_was_left_while_its_grid_fills(site: Web, browser: Browser) -> None:
    asked = json.dumps({"prompt": "a slow teapot", "seeds": [1, 2]}).encode()
    job = json.loads(site.call("/v1/compare", asked, Content_Type="application/json")[1])["id"]
    requests = json.loads(site.call(f"/v1/jobs/{job}")[1])["requests"]
    for request in requests[:2]:
        draw(request["id"], request["level_asked"])
    with view(browser, site.url) as shown:
        shown.opens(f"/compare/{job}")
        page = shown.page
        edge, right = page.locator("#edge"), page.locator('[data-image="right"]')
        assert page.locator("[data-side] option").count() == 4
        page.locator("#right").select_option(index=0)
        edge.fill("30")
        edge.focus()
        chosen = right.get_attribute("src")
        draw(requests[2]["id"], requests[2]["level_asked"])
        page.locator("[data-side] option").nth(5).wait_for(state="attached")
        assert edge.input_value() == "30"
        assert page.locator(".two").evaluate("it => it.style.getPropertyValue('--at')") == "30%"
        assert right.get_attribute("src") == page.locator("#right").input_value() == chosen
        assert page.evaluate("document.activeElement.id") == "edge"
        shown.looks_good()
