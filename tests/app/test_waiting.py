"""Calls that wait for images: woken when there is something new, many at a time, and free when they hang up."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from app import listening
from app.listening import LISTENER
from core.database import transaction
from core.tables import Job, Request, Score, State
from core.unserved import cancel_abandoned
from tests.app.conftest import draw
from tests.app.web_process import PATIENCE_S, Web, web_process
from tests.conftest import Services

WAITING = 200
NEVER_S = 3600.0
NOW = timedelta(0)


@pytest.fixture(scope="module")
def web(services: Services, family_file: Path) -> Iterator[Web]:
    with web_process(services, family_file) as running:
        yield running


def call(web: Web, prompt: str, path: str = "/v1/images/generations", **headers: str) -> socket.socket:
    """A call that waits for its image."""
    body = json.dumps({"prompt": prompt})
    connection = web.connect()
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{more}"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    return connection


def until(what: Callable[[], Any]) -> Any:
    """What is at last so."""
    end = time.monotonic() + PATIENCE_S
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def requests(*states: State) -> list[Request]:
    with transaction() as session:
        return list(session.scalars(select(Request).where(Request.state.in_(states))))


def jobs() -> list[Job]:
    with transaction() as session:
        return list(session.scalars(select(Job)))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks by itself."""
    monkeypatch.setattr(listening, "POLL_S", NEVER_S)
    monkeypatch.setattr(listening, "LOOK_S", NEVER_S)


def ask(client: FlaskClient) -> tuple[threading.Thread, list[Any]]:
    """A call in a thread of its own, and where its answer goes."""
    answers: list[Any] = []
    body = {"prompt": "a red apple"}
    thread = threading.Thread(target=lambda: answers.append(client.post("/v1/images/generations", json=body)))
    thread.start()
    return thread, answers


def test_a_call_is_answered_when_its_image_is_stored_though_nobody_looks(client: FlaskClient, patient: None) -> None:
    thread, answers = ask(client)
    (request,) = until(lambda: requests(State.ACCEPTED))
    until(lambda: LISTENER.hears)
    draw(str(request.id))
    thread.join(PATIENCE_S)
    assert [answer.status_code for answer in answers] == [200]


def test_a_listener_that_lost_its_connection_listens_again_and_has_everybody_look(
    client: FlaskClient, services: Services, patient: None
) -> None:
    thread, answers = ask(client)
    (request,) = until(lambda: requests(State.ACCEPTED))
    until(lambda: LISTENER.hears)
    with psycopg2.connect(services.superuser_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name='argus listens'")
        assert cursor.rowcount == 1
    connection.close()
    draw(str(request.id))
    thread.join(PATIENCE_S)
    assert [answer.status_code for answer in answers] == [200]


def test_a_stream_tells_of_a_late_score_though_nobody_looks(client: FlaskClient, patient: None) -> None:
    job = client.post("/v1/jobs", json={"prompt": "a"}).get_json()
    image = uuid.UUID(draw(job["requests"][0]["id"], score=None))
    answer = client.get(job["links"]["events"], buffered=False)
    blocks = (block.decode() for block in answer.iter_encoded())
    assert '"score": null' in next(block for block in blocks if "event: request" in block)
    until(lambda: LISTENER.hears)
    with transaction() as session:
        session.add(Score(image_id=image, scorer="paper-clip 1", value=0.7))
        session.execute(update(Request).values(scored_at=func.now(), score=0.7))
    rest = list(blocks)
    assert any('"score": 0.7' in block for block in rest)
    assert "event: end" in rest[-1]
    answer.close()


def test_hundreds_wait_and_everybody_else_is_answered(database: Services, web: Web) -> None:
    at_rest = web.memory()
    waiting = [call(web, f"apple {number}") for number in range(WAITING)]
    accepted = until(lambda: found if len(found := requests(State.ACCEPTED)) == WAITING else None)
    assert web.call("/healthz")[0] == 200
    assert web.call("/")[0] == 200
    web.submit(prompt="a fox")
    grown = (web.memory() - at_rest) / 1e6
    print(f"{WAITING} waiting clients: {grown:.0f} MB")
    assert grown < 100  # measured: a quarter of it
    for request in accepted:
        draw(str(request.id))
    for connection in waiting:
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.close()


def test_what_has_not_begun_is_cancelled_when_its_client_hung_up(database: Services, web: Web) -> None:
    waits, runs = call(web, "waits"), call(web, "runs")
    first, second = until(lambda: found if len(found := requests(State.ACCEPTED)) == 2 else None)
    running = first if first.prompt == "runs" else second
    with transaction() as session:
        session.execute(update(Request).where(Request.id == running.id).values(state=State.RUNNING, attempts=1))
    waits.close()
    runs.close()
    until(lambda: all(job.abandoned_at for job in jobs()))
    assert cancel_abandoned(timedelta(minutes=1)) == 0
    assert cancel_abandoned(NOW) == 1
    assert [request.prompt for request in requests(State.RUNNING)] == ["runs"]
    (cancelled,) = requests(State.CANCELLED)
    assert (cancelled.prompt, cancelled.note) == ("waits", "its client hung up before it began")


def test_a_call_with_a_key_goes_on_when_its_client_hung_up(database: Services, web: Web) -> None:
    calls = [call(web, "key", Idempotency_Key="k"), call(web, "none")]
    until(lambda: len(jobs()) == 2)
    for connection in calls:
        connection.close()
    until(lambda: any(job.abandoned_at for job in jobs()))
    assert cancel_abandoned(NOW) == 1
    assert [request.prompt for request in requests(State.ACCEPTED)] == ["key"]


def test_who_tries_again_joins_the_job_that_it_left(database: Services, web: Web) -> None:
    first = call(web, "a fox", X_Stainless_Retry_Count="0")
    until(jobs)
    first.close()
    (job,) = until(lambda: [job for job in jobs() if job.abandoned_at])
    again = call(web, "a fox", X_Stainless_Retry_Count="1")
    until(lambda: jobs()[0].abandoned_at is None)
    other = call(web, "a bear", X_Stainless_Retry_Count="1")
    until(lambda: len(jobs()) == 2)
    for request in requests(State.ACCEPTED):
        draw(str(request.id))
    answer = again.recv(4096).decode()
    assert f"X-Argus-Job: {job.id}".lower() in answer.lower()
    assert "idempotent-replayed: true" in answer.lower()
    assert str(job.id) not in other.recv(4096).decode()
    again.close()
    other.close()


def test_a_job_that_failed_or_was_cancelled_is_not_joined(client: FlaskClient) -> None:
    def send(tries: int) -> uuid.UUID:
        thread = threading.Thread(
            target=lambda: client.post(
                "/v1/images/generations", json={"prompt": "a"}, headers={"X-Stainless-Retry-Count": str(tries)}
            )
        )
        thread.start()
        (request,) = until(lambda: requests(State.ACCEPTED))
        with transaction() as session:
            failed = {"state": State.FAILED, "error_code": "engine_error", "error": "why"}
            session.execute(update(Request).where(Request.id == request.id).values(**failed))
        thread.join(PATIENCE_S)
        return request.job_id

    assert send(0) != send(1)


def test_the_real_client_tries_again_and_gets_the_one_image(database: Services, web: Web) -> None:
    import openai

    client = openai.OpenAI(base_url=f"{web.url}/v1", api_key="none", max_retries=3, timeout=2.0)

    def drawn_late() -> None:
        (request,) = until(lambda: requests(State.ACCEPTED))
        until(lambda: jobs()[0].abandoned_at)  # the first try timed out
        until(lambda: not jobs()[0].abandoned_at)  # and there is a second
        draw(str(request.id))

    thread = threading.Thread(target=drawn_late)
    thread.start()
    answer = client.images.generate(prompt="a red apple", model="auto")
    thread.join()
    assert len(answer.data or []) == 1
    assert len(jobs()) == 1
