"""How much may wait, of whom, and what is said to who comes too late."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, update

from app import backlog, jobs, waiting
from core.database import transaction
from core.errors import TooOften
from core.tables import Request
from tests.app.conftest import code_and_field, configured, draw, rows


@pytest.fixture(autouse=True)
def _counted_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "FRESH_S", 0.0)
    monkeypatch.setattr(backlog, "SHARE", math.inf)
    monkeypatch.setattr(jobs, "BACKLOG", backlog.Backlog())


@pytest.fixture
def few(client: FlaskClient) -> Iterator[FlaskClient]:
    """Ten may wait, six of one client."""
    with configured(ARGUS_MAX_WAITING="10", ARGUS_MAX_WAITING_CLIENT="6"):
        yield client


def send(client: FlaskClient, n: int, who: str = "127.0.0.1", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/v1/jobs", json={"prompt": "a", "n": n}, headers=named, environ_base={"REMOTE_ADDR": who})


def test_one_client_cannot_take_all_places(few: FlaskClient) -> None:
    assert send(few, 5).status_code == 202
    refused = send(few, 2)
    assert code_and_field(refused)[:2] == (429, "too_much_waiting")
    assert "of this client" in refused.get_json()["error"]["message"]
    assert send(few, 5, "10.0.0.7").status_code == 202
    refused = send(few, 1, "10.0.0.8")
    assert code_and_field(refused)[:2] == (429, "too_much_waiting")
    assert "of this client" not in refused.get_json()["error"]["message"]
    assert rows() == (2, 10)


def test_what_runs_or_ended_takes_no_place(few: FlaskClient) -> None:
    job = send(few, 6).get_json()
    assert send(few, 1).status_code == 429
    draw(job["requests"][0]["id"])
    assert send(few, 1).status_code == 202


def test_more_than_may_ever_wait_is_too_large(few: FlaskClient) -> None:
    assert code_and_field(send(few, 7)) == (413, "too_large", "prompts")


def test_who_is_told_to_come_back_is_told_when_at_the_measured_rate(few: FlaskClient) -> None:
    job = send(few, 6).get_json()
    assert send(few, 3).headers["Retry-After"] == str(backlog.LONGEST_S)  # nothing was ever finished
    for request in job["requests"][:2]:
        draw(request["id"])
    with transaction() as session:
        earlier = func.now() - timedelta(seconds=100)
        first = uuid.UUID(job["requests"][0]["id"])
        session.execute(update(Request).where(Request.id == first).values(stored_at=earlier))
    refused = send(few, 5)  # four wait, six may: three too many, at two in a hundred seconds
    assert 148 <= int(refused.headers["Retry-After"]) <= 155


def test_between_two_counts_what_was_accepted_here_is_added(few: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "FRESH_S", 1000.0)
    assert [send(few, 3).status_code for _ in range(3)] == [202, 202, 429]


def test_what_was_accepted_before_is_answered_again_however_much_waits(few: FlaskClient) -> None:
    first = send(few, 6, Idempotency_Key="k")
    again = send(few, 6, Idempotency_Key="k")
    assert (again.status_code, again.get_json()["id"]) == (202, first.get_json()["id"])


@pytest.mark.parametrize("path", ["/v1/images/generations", "/sdapi/v1/txt2img"])
def test_other_apis_say_it_in_their_own_words(few: FlaskClient, path: str) -> None:
    send(few, 6)
    answer = few.post(path, json={"prompt": "a"})
    assert (answer.status_code, "too_much_waiting" in answer.text) == (429, True)
    assert int(answer.headers["Retry-After"]) > 0
    assert "X-Argus-Job" not in answer.headers


def test_refusals_are_counted(few: FlaskClient) -> None:
    def counted() -> float:
        lines = few.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith('argus_refused_total{code="too_much'))

    before = counted()
    send(few, 6)
    send(few, 6)
    assert counted() == before + 1


# --- places to wait --------------------------------------------------------------------------------------------------


def take(places: waiting.Places, client: str, longest_s: float = 60.0) -> Callable[[], None]:
    return places.take(client, longest_s, "Read it.")


def test_places_to_wait_are_bounded_by_client_and_in_all() -> None:
    places = waiting.Places(3, 2)
    leave = take(places, "a", 60.0)
    take(places, "a", 5.0)
    with pytest.raises(TooOften, match="of this client") as refused:
        take(places, "a")
    assert refused.value.retry_after_s == 5
    take(places, "b", 9.0)
    with pytest.raises(TooOften) as refused:
        take(places, "c")
    assert refused.value.retry_after_s == 5
    leave()
    leave()
    take(places, "c")
    with pytest.raises(TooOften):
        take(places, "d")
