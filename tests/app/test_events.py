"""Server-sent events of a job."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, update

from app import listening, waiting
from app.api import events
from core.database import transaction
from core.errors import TooOften
from core.tables import Request, State
from tests.app.conftest import code_and_field, draw

Submit = Callable[..., dict[str, Any]]
Event = tuple[str, dict[str, Any], str]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "POLL_S", 0.02)
    monkeypatch.setattr(events, "SCORES_S", 0.2)


def listen(client: FlaskClient, job: dict[str, Any], last: str | None = None) -> Iterator[Event]:
    """The events of a stream, as they come, until it ends."""
    answer = client.get(job["links"]["events"], headers={"Last-Event-ID": last} if last else {}, buffered=False)
    assert answer.mimetype == "text/event-stream"
    try:
        for block in (block for chunk in answer.iter_encoded() for block in chunk.decode().split("\n\n")):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line[1:])
            if "event" in fields:
                yield fields["event"], json.loads(fields["data"]), fields["id"]
    finally:
        answer.close()


def test_a_listener_is_told_of_each_change_once_and_of_the_end(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["a", "b"])
    first, second = [request["id"] for request in job["requests"]]
    stream = listen(client, job)
    assert next(stream)[0] == "job"
    draw(first, score=0.7)
    name, line, _ = next(stream)
    assert (name, line["id"], line["state"], line["score"]) == ("request", first, "done", 0.7)
    draw(second, score=0.6)
    rest = list(stream)
    assert [data["id"] for name, data, _ in rest if name == "request"] == [second]
    assert rest[-1][0] == "end"
    assert [data["progress"] for name, data, _ in rest if name == "job"][-1] == 1.0


def test_who_comes_back_goes_on_from_where_it_was(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["a", "b"])
    draw(job["requests"][0]["id"])
    with transaction() as session:
        long_ago = func.now() - timedelta(hours=1)
        session.execute(
            update(Request)
            .where(Request.id == uuid.UUID(job["requests"][0]["id"]))
            .values(routed_at=long_ago, started_at=long_ago, stored_at=long_ago, scored_at=long_ago)
        )
        session.execute(
            update(Request).where(Request.id == uuid.UUID(job["requests"][1]["id"])).values(state=State.CANCELLED)
        )
    whole = list(listen(client, job))
    assert [data["position"] for name, data, _ in whole if name == "request"] == [0, 1]
    again = list(listen(client, job, last=whole[-1][2]))
    assert [data["position"] for name, data, _ in again if name == "request"] == [1]


@pytest.mark.parametrize("last", ["0001-01-01T00:00:00", "2000-01-01T00:00+20:00", "yesterday", "9"])
def test_a_last_event_that_is_no_time_gets_the_whole_stream(client: FlaskClient, submit: Submit, last: str) -> None:
    job = submit(prompt="a")
    draw(job["requests"][0]["id"])
    assert [name for name, _, _ in listen(client, job, last=last)] == ["request", "job", "end"]


def test_a_stream_waits_for_scores_only_so_long(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompt="a")
    draw(job["requests"][0]["id"], score=None)
    assert [name for name, _, _ in listen(client, job)][-1] == "end"


def test_a_stream_ends_by_itself(client: FlaskClient, submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LONGEST_S", 0.1)
    assert [name for name, _, _ in listen(client, submit(prompt="a"))] == ["job"]


def test_a_place_whose_answer_was_never_closed_is_free_after_its_time() -> None:
    places = waiting.Places(1, 1)
    places.take("a client", -1.0, "")
    leave = places.take("another", 60.0, "")
    with pytest.raises(TooOften):
        places.take("a third", 60.0, "")
    leave()
    places.take("a third", 60.0, "")


def test_streams_beyond_the_limit_are_refused_and_slots_come_back(
    client: FlaskClient, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "STREAM_PLACES", waiting.Places(1, 1))
    job = submit(prompt="a")
    stream = listen(client, job)
    next(stream)
    assert code_and_field(client.get(job["links"]["events"]))[:2] == (429, "too_often")
    stream.close()
    assert next(listen(client, job))[0] == "job"
