"""Pages in headless Chromium: nothing in the console, nothing that axe-core finds, nothing wider than a phone."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image as Pictures
from playwright.sync_api import Browser

from app.records.reports import KINDS
from tests.app.web.browser import DESKTOP, PHONE, view
from tests.app.web_process import Web

PAGES = (
    *("/", "/compare", "/gallery", "/gallery?like=fox", "/dashboard", "/models"),
    *(f"/reports?by={by}" for by in KINDS),
    *("/reports?by=level&since=2026-01-01T00:00:00", "/reports?until=2026-01-01T00:00:00"),
    *("/settings", "/keys", "/docs/errors", "/nowhere"),
)


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


def test_an_image_is_chosen_painted_over_and_sent(site: Web, browser: Browser, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    Pictures.new("RGB", (400, 200), "teal").save(picture)
    for width in (DESKTOP, PHONE):
        with view(browser, site.url, width) as shown:
            shown.opens("/")
            page = shown.page
            page.locator("#prompts").fill("a fox")
            page.get_by_text("Begin with an image").click()
            page.locator("#image-file").set_input_files(picture)
            brush = page.locator("#brush")
            brush.wait_for()
            assert page.locator("[name=size]:checked").input_value() == ""
            assert page.locator("#strength").input_value() == "0.75"
            box = brush.bounding_box()
            assert box is not None
            page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
            page.mouse.down()
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
            page.mouse.up()
            assert page.locator("#strength").input_value() == "1"
            page.locator("#preview:not(.htmx-request) b").first.wait_for()
            assert (shown.overflow, shown.violations()) == (0, [])
            page.get_by_role("button", name="Generate", exact=True).click()
            page.wait_for_url("**/jobs/*")
            job = json.loads(site.call(f"/v1{urlsplit(page.url).path}")[1])
            request = json.loads(site.call(f"/v1/requests/{job['requests'][0]['id']}")[1])
            assert (request["kind"], request["strength"]) == ("inpainting", 1)
            assert (request["width"], request["height"]) == (128, 64)
            mask = Pictures.open(io.BytesIO(site.call(urlsplit(request["links"]["mask"]).path)[1])).convert("L")
            assert mask.size == (400, 200)
            assert (mask.getpixel((150, 100)), mask.getpixel((350, 20))) == (255, 0)
            assert shown.said == []


def test_what_was_painted_over_one_image_is_no_mask_of_the_next(site: Web, browser: Browser, tmp_path: Path) -> None:
    for name, size in (("first.png", (64, 64)), ("second.png", (128, 64))):
        Pictures.new("RGB", size, "teal").save(tmp_path / name)
    with view(browser, site.url) as shown:
        shown.opens("/")
        page = shown.page
        page.locator("#prompts").fill("a fox")
        page.get_by_text("Begin with an image").click()
        page.locator("#image-file").set_input_files(tmp_path / "first.png")
        page.locator("#brush").click()
        assert page.locator("#mask-name").inner_text() == "painted"
        page.locator("#image-file").set_input_files(tmp_path / "second.png")
        page.get_by_text("second.png").wait_for()
        assert page.locator("#mask-name").inner_text() == "white is drawn anew"
        page.get_by_role("button", name="Generate", exact=True).click()
        page.wait_for_url("**/jobs/*")
        job = json.loads(site.call(f"/v1{urlsplit(page.url).path}")[1])
        request = json.loads(site.call(f"/v1/requests/{job['requests'][0]['id']}")[1])
        assert (request["kind"], request["strength"]) == ("image-to-image", 0.75)
        page.goto("/")
        page.get_by_text("Begin with an image").click()
        page.locator("#image-file").set_input_files(tmp_path / "first.png")
        page.get_by_role("button", name="Without the image").click()
        assert page.locator("[name=size]:checked").input_value() == "64x64"
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


def biggest(site: Web) -> dict[str, Any]:
    """The job with the most requests."""
    listed = json.loads(site.call("/v1/jobs?per_page=100")[1])["jobs"]
    return dict(max(listed, key=lambda job: job["counts"]["done"]))


def test_a_job_and_a_comparison_have_no_violations_and_fit_a_phone(site: Web, browser: Browser) -> None:
    job = biggest(site)["id"]
    request = json.loads(site.call(f"/v1/jobs/{job}?per_page=1")[1])["requests"][0]["id"]
    for path in (f"/jobs/{job}", f"/jobs/{job}?state=failed", f"/compare/{job}", f"/requests/{request}"):
        for width, dark in ((DESKTOP, False), (PHONE, True)):
            with view(browser, site.url, width, dark) as shown:
                shown.opens(path)
                assert (shown.overflow, shown.violations(), shown.said) == (0, [], []), path


def test_a_grid_loads_what_is_seen_and_lets_go_of_what_is_far(site: Web, browser: Browser) -> None:
    job = biggest(site)
    with view(browser, site.url) as shown:
        shown.opens(f"/jobs/{job['id']}")
        cells, height = shown.page.locator(".cell"), "document.documentElement.scrollHeight"
        at_first, whole = cells.count(), shown.page.evaluate(height)
        assert 0 < at_first < job["size"]
        shown.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        last = shown.page.locator(f'.cell[data-position="{job["size"] - 1}"]')
        last.wait_for()
        shown.page.wait_for_function("document.querySelector('.cell[data-position=\"0\"]') === null")
        assert cells.count() < job["size"]
        assert abs(shown.page.evaluate(height) - whole) < 0.05 * whole
        assert shown.said == []


def test_images_are_selected_and_compared_with_keys(site: Web, browser: Browser) -> None:
    job = biggest(site)
    with view(browser, site.url) as shown:
        shown.opens(f"/jobs/{job['id']}?state=done")
        keys, said = shown.page.keyboard, shown.page.locator("#selected-count")
        shown.page.locator(".cell .tile").first.focus()
        keys.press("Space")
        keys.press("Shift+ArrowRight")
        keys.press("Shift+ArrowRight")
        assert said.inner_text() == "3 selected"
        keys.press("Control+a")
        assert said.inner_text() == f"{job['counts']['done']} selected"
        keys.press("Escape")
        assert not said.is_visible()
        keys.press("Space")
        keys.press("Shift+ArrowLeft")
        shown.page.locator("#beside").press("Enter")
        shown.page.wait_for_url("**/compare?ids=*")
        slider = shown.page.locator("input[type=range]")
        slider.focus()
        for _ in range(5):
            keys.press("ArrowLeft")
        assert shown.page.locator(".two").evaluate("it => it.style.getPropertyValue('--at')") == "45%"
        assert shown.violations() == shown.said == []


def test_a_comparison_is_asked_for_with_the_keyboard(site: Web, browser: Browser) -> None:
    with view(browser, site.url) as shown:
        shown.opens("/compare")
        shown.page.keyboard.type("a teapot")
        shown.page.keyboard.press("Enter")
        shown.page.wait_for_url("**/compare/*-*")
        assert shown.page.locator(".matrix tbody tr").count() >= 1
        assert shown.page.locator(".matrix thead").inner_text().count("seed") == 2
        assert shown.said == []
