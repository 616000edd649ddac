"""The gallery: page by page both ways, narrowed by time and tenant."""

from __future__ import annotations

import re
from html import unescape

import pytest
from flask.testing import FlaskClient

from app.web import gallery
from tests.app.conftest import Held, draw
from tests.app.web.conftest import PAGE, Submit


def captions(html: str) -> str:
    return "".join(re.findall(r'class="caption">([^<]+)<', html))


def follow(client: FlaskClient, html: str, name: str) -> str:
    """The page that a link of this name leads to."""
    found = re.search(rf'href="(\?[^"]*)">{name}<', html)
    assert found, name
    return client.get("/gallery" + unescape(found[1]), headers=PAGE).text


@pytest.fixture
def drawn(client: FlaskClient, submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven images, `a` the oldest, two a page."""
    monkeypatch.setattr(gallery, "PER_PAGE", 2)
    for request in submit(prompts=list("abcdefg"))["requests"]:
        draw(request["id"])


@pytest.mark.usefixtures("drawn")
def test_it_goes_to_older_pages_and_back_to_newer_ones(client: FlaskClient) -> None:
    pages = [client.get("/gallery?level=exact", headers=PAGE).text]
    for _ in range(3):
        pages.append(follow(client, pages[-1], "Older"))
    assert [captions(page) for page in pages] == ["gf", "ed", "cb", "a"]
    assert (">Newer<" in pages[0], ">Older<" in pages[-1]) == (False, False)
    assert captions(back := follow(client, pages[-1], "Newer")) == "cb"
    assert captions(back := follow(client, back, "Newer")) == "ed"
    assert captions(back := follow(client, back, "Newer")) == "gf"
    assert captions(follow(client, follow(client, back, "Older"), "Newest")) == "gf"


@pytest.mark.usefixtures("drawn")
def test_what_is_newer_and_fills_no_page_is_the_first_page(client: FlaskClient, submit: Submit) -> None:
    first = client.get("/gallery", headers=PAGE).text
    draw(submit(prompt="h")["requests"][0]["id"])
    second = follow(client, first, "Older")
    assert captions(second) == "ed"
    assert captions(follow(client, second, "Newer")) == "gf"
    assert captions(follow(client, follow(client, second, "Newer"), "Newer")) == "hg"


@pytest.mark.usefixtures("drawn")
def test_it_is_narrowed_by_when_images_were_asked_for(client: FlaskClient) -> None:
    assert captions(client.get("/gallery?since=2000-01-01T10:00", headers=PAGE).text) == "gf"
    page = client.get("/gallery?until=2000-01-01T10:00", headers=PAGE).text
    assert "No image fits" in page
    assert 'value="2000-01-01T10:00:00"' in page
    assert client.get("/gallery?since=yesterday", headers=PAGE).status_code == 400


def test_who_sees_all_may_look_at_one_tenant(client: FlaskClient, keys: Held) -> None:
    for who in ("both", "foreign"):
        job = client.post("/v1/jobs", json={"prompt": who}, headers=keys.bearer(who)).get_json()
        draw(job["requests"][0]["id"])
    admin = {**PAGE, **keys.bearer("admin")}
    assert captions(client.get("/gallery", headers=admin).text) == "foreignboth"
    page = client.get("/gallery?tenant=theirs", headers=admin).text
    assert (captions(page), 'name="tenant"' in page) == ("foreign", True)
    mine = client.get("/gallery?tenant=theirs", headers={**PAGE, **keys.bearer("read")}).text
    assert (captions(mine), 'name="tenant"' in mine) == ("", False)
