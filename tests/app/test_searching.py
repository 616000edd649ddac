"""Images are found by what their prompt means, by those who may see them; without a router that is said."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from app import searching
from core.database import transaction
from core.families import load_family
from core.search_tables import PromptEmbedding, SearchText
from core.settings import settings
from core.tables import Request
from scheduler.control import prune
from scheduler.prediction.prompt_index import PromptIndex
from tests.app.conftest import Held, age, code_and_field, configured, draw, meanwhile

Submit = Callable[..., dict[str, Any]]
PAGE = {"Accept": "text/html"}
ANIMALS = ("a puppy asleep on a sofa", "two kittens in a basket")
OTHERS = ("a steam locomotive on a bridge", "a bowl of ripe fruit")


def drawn(client: FlaskClient, prompts: tuple[str, ...], headers: dict[str, str] | None = None, **more: Any) -> str:
    """A job whose images were stored a minute ago; its id."""
    job = client.post("/v1/jobs", json={"prompts": list(prompts), **more}, headers=headers or {}).get_json()
    for request in job["requests"]:
        draw(request["id"], more.get("level", "exact"))
    with transaction() as session:
        mine = update(Request).where(Request.job_id == uuid.UUID(job["id"]))
        session.execute(mine.values(stored_at=func.now() - timedelta(minutes=1)))
    return str(job["id"])


def index() -> PromptIndex:
    return PromptIndex(load_family(settings().family), lambda: True)


def router() -> AbstractContextManager[None]:
    """Reads what is looked for as the router's worker does, without the broker between."""
    reading = index()

    def read() -> None:
        with transaction() as session:
            waiting = list(session.scalars(select(SearchText.digest).where(SearchText.embedding.is_(None))))
        for digest in waiting:
            reading.read_search(digest)

    return meanwhile(read)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder is loaded with the first text."""
    monkeypatch.setattr(searching, "LIMIT_S", 60.0)


def found(client: FlaskClient, query: str, headers: dict[str, str] | None = None) -> list[str]:
    answer = client.get(f"/v1/requests?{query}", headers=headers or {})
    assert answer.status_code == 200, answer.text
    return [line["prompt"] for line in answer.get_json()["requests"]]


def test_the_nearest_in_meaning_come_first_though_they_share_no_word(client: FlaskClient) -> None:
    drawn(client, (*OTHERS, *ANIMALS))
    assert index().turn() == 4
    assert index().turn() == 0
    with router():
        lines = client.get("/v1/requests?like=young pets").get_json()["requests"]
        assert {line["prompt"] for line in lines[:2]} == set(ANIMALS)
        assert lines[0]["similarity"] >= lines[1]["similarity"] > lines[2]["similarity"] + 0.1
        page = client.get("/gallery?like=young pets", headers=PAGE).text
        assert page.index(ANIMALS[0]) < page.index(OTHERS[0])
        assert found(client, "like=young pets&prompt=fruit") == [OTHERS[1]]
        assert found(client, "like=young pets&limit=1") == [lines[0]["prompt"]]


def test_a_search_narrows_by_level_and_shows_four_images_of_a_prompt(client: FlaskClient) -> None:
    drawn(client, ANIMALS[:1], n=6)
    drawn(client, ANIMALS[1:], level="ac-5")
    assert index().turn() == 2
    with router():
        assert found(client, "like=young pets").count(ANIMALS[0]) == 4
        assert found(client, "like=young pets&level=ac-5") == [ANIMALS[1]]


def test_a_text_is_read_once_and_no_router_is_needed_for_it_again(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn(client, ANIMALS)
    index().turn()
    with router():
        assert len(found(client, "like=dogs")) == 2
    monkeypatch.setattr(searching, "LIMIT_S", 0.05)
    assert len(found(client, "like=dogs")) == 2


def test_without_a_router_it_is_said_and_the_text_of_prompts_is_still_searched(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn(client, ANIMALS)
    monkeypatch.setattr(searching, "LIMIT_S", 0.05)
    assert code_and_field(client.get("/v1/requests?like=dogs")) == (503, "service_down", "like")
    page = client.get("/gallery?like=puppy", headers=PAGE)
    assert page.status_code == 200
    assert "No router said" in page.text
    assert 'href="?prompt=puppy"' in page.text
    shown = client.get("/gallery?prompt=puppy", headers=PAGE).text
    assert ANIMALS[0] in shown
    assert ANIMALS[1] not in shown


def test_a_broker_that_is_away_is_as_a_router_that_is(client: FlaskClient, broker_away: None) -> None:
    assert code_and_field(client.get("/v1/requests?like=dogs")) == (503, "service_down", "like")


def test_a_search_has_no_next_page(client: FlaskClient) -> None:
    answer = client.get("/v1/requests?like=dogs&after=2026-01-01~x")
    assert code_and_field(answer) == (400, "bad_input", "after")


def test_a_tenant_finds_its_own_images_only(client: FlaskClient, keys: Held) -> None:
    drawn(client, ANIMALS[:1], keys.bearer("both"))
    drawn(client, ANIMALS, keys.bearer("foreign"))
    assert index().turn() == 3
    with router():
        assert found(client, "like=young pets", keys.bearer("read")) == [ANIMALS[0]]
        assert sorted(found(client, "like=young pets", keys.bearer("foreign"))) == sorted(ANIMALS)
        assert len(found(client, "like=young pets", keys.bearer("admin"))) == 3
        assert found(client, "like=young pets&tenant=ours", keys.bearer("admin")) == [ANIMALS[0]]


def test_with_the_last_image_of_a_prompt_goes_what_was_kept_of_it(client: FlaskClient) -> None:
    old, _ = drawn(client, ANIMALS), drawn(client, ANIMALS[:1])
    index().turn()
    age(uuid.UUID(old), days=31)
    with configured(ARGUS_RETENTION_DAYS="30"):
        assert prune.prune() == 2
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(PromptEmbedding)) == 1


def test_a_search_is_forgotten_after_a_day(client: FlaskClient) -> None:
    with router():
        found(client, "like=dogs")
    with transaction() as session:
        session.execute(update(SearchText).values(asked_at=func.now() - timedelta(days=2)))
    index().turn()
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(SearchText)) == 0


def test_nothing_is_read_before_the_encoder_is_in_memory(client: FlaskClient) -> None:
    drawn(client, ANIMALS)
    assert PromptIndex(load_family(settings().family), lambda: False).turn() == 0
    assert index().turn() == 2
