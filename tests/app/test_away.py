"""What is answered while PostgreSQL or the image store is away: 503 and when to come again, whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import create_engine, event, select

from app import keyring
from app.keyring import KEYRING
from core import database as core_database
from core.database import AWAY, engine, forget_connections, transaction
from core.errors import ServiceDown
from core.images import ImageStore
from core.keys import read_key
from core.tables import Image
from tests.app.conftest import Held, code_and_field, configured, draw

PAGE = {"Accept": "text/html"}
AGAIN = str(ServiceDown.retry_after_s)


@pytest.fixture
def nothing_known(client: FlaskClient) -> Iterator[None]:
    """PostgreSQL is away, and of keys nothing is known from before."""
    with configured(ARGUS_DATABASE_URL="postgresql://nobody@127.0.0.1:9/nothing"):
        forget_connections()
        KEYRING.forget()
        yield
    forget_connections()
    KEYRING.forget()


@pytest.mark.parametrize("address", ["/v1/jobs", "/v1/images/generations", "/sdapi/v1/txt2img"])
def test_programs_are_told_when_to_come_again(client: FlaskClient, nothing_known: None, address: str) -> None:
    answer = client.post(address, json={"prompt": "a fox"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, AGAIN)
    if address == "/v1/jobs":
        assert code_and_field(answer)[1] == "service_down"


@pytest.mark.parametrize("address", ["/", "/gallery", "/docs"])
def test_people_are_shown_a_page(client: FlaskClient, nothing_known: None, address: str) -> None:
    answer = client.get(address, headers=PAGE)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, AGAIN)
    assert "<h1>PostgreSQL cannot be reached" in answer.text


def test_a_page_that_there_is_not_asks_nobody_who_calls(client: FlaskClient, nothing_known: None) -> None:
    assert client.get("/nowhere", headers=PAGE).status_code == 404


def test_who_asks_whether_argus_is_ready_is_told_too(client: FlaskClient, nothing_known: None) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, AGAIN)


def test_an_image_store_that_is_away_says_the_same(
    client: FlaskClient, submit: Callable[..., dict[str, Any]], tmp_path: Any
) -> None:
    image = draw(submit(prompt="a fox")["requests"][0]["id"])
    (tmp_path / "file").touch()
    with configured(ARGUS_IMAGES=str(tmp_path / "file")):
        answer = client.get(f"/v1/images/{image}")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, AGAIN)
    with transaction() as session:
        assert ImageStore().get(session.scalars(select(Image.key)).one())


def test_the_document_says_that_these_answers_say_when(client: FlaskClient) -> None:
    paths = client.get("/openapi.json").get_json()["paths"].values()
    answers = [
        answer
        for path in paths
        for operation in path.values()
        if "responses" in operation
        for status, answer in operation["responses"].items()
        if status in ("429", "503")
    ]
    assert len(answers) > 50
    assert all("Retry-After" in answer["headers"] for answer in answers)


# --- keys that are known stay known ----------------------------------------------------------------------------------


def test_a_key_is_known_while_all_connections_are_taken(
    client: FlaskClient, keys: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = find(keys)
    monkeypatch.setattr(keyring, "KEPT_S", 0.0)
    monkeypatch.setattr(core_database, "create_engine", partial(create_engine, pool_timeout=0.1))
    monkeypatch.setattr(core_database, "KEPT", 1)
    monkeypatch.setattr(core_database, "MORE", 0)
    forget_connections()
    with transaction() as session:
        session.execute(select(1))
        with pytest.raises(AWAY), transaction() as other:
            other.execute(select(1))
        assert find(keys) == known
    forget_connections()


def test_a_key_is_known_while_connections_close_under_who_asks(
    client: FlaskClient, keys: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = find(keys)
    monkeypatch.setattr(keyring, "KEPT_S", 0.0)

    def close(connection: Any, *_: Any) -> None:
        connection.connection.dbapi_connection.close()

    event.listen(engine(), "before_execute", close)
    try:
        with pytest.raises(AWAY), transaction() as session:
            session.execute(select(1))
        assert find(keys) == known
    finally:
        event.remove(engine(), "before_execute", close)
        forget_connections()


def find(keys: Held) -> keyring.Known | None:
    written = read_key(keys.texts["both"])
    assert written
    return KEYRING.find(written.id)
