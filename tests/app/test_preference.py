"""`Prefer: wait=N`: an answer that comes when the images are there."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import waiting
from app.preference import WAIT
from core.tables import State
from tests.app.conftest import configured, draw, rows
from tests.app.test_waiting import requests, until
from tests.app.web_process import PATIENCE_S, Web, web_process
from tests.conftest import Services


def later(client: FlaskClient, **body: Any) -> tuple[threading.Thread, list[Any]]:
    """A submission that waits, in a thread of its own, and where its answer goes."""
    answers: list[Any] = []
    headers = {"Prefer": "wait=60"}
    other = client.application.test_client()
    thread = threading.Thread(target=lambda: answers.append(other.post("/v1/jobs", json=body, headers=headers)))
    thread.start()
    return thread, answers


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        *(("wait=10", "10"), ("respond-async, wait=5", "5"), ('Wait="7"; x=1', "7"), ("wait = 3,wait=9", "3")),
        *(("wait", None), ("wait=-1", None), ("wait=1.5", None), ("await=3", None), ("wait=99999999999", None)),
    ],
)
def test_the_header_is_read_as_the_rfc_writes_it(header: str, seconds: str | None) -> None:
    found = WAIT.search(header)
    assert (found and found[1]) == seconds


def test_a_submission_is_answered_with_the_job_when_all_is_done(client: FlaskClient) -> None:
    thread, answers = later(client, prompt="a fox")
    (request,) = until(lambda: requests(State.ACCEPTED))
    image = draw(str(request.id))
    thread.join(PATIENCE_S)
    (answer,) = answers
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, "wait=60")
    job = answer.get_json()
    assert (job["state"], job["requests"][0]["image_id"]) == ("done", image)
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"


def test_after_the_time_it_is_accepted_like_any_other(client: FlaskClient) -> None:
    answer = client.post("/v1/jobs", json={"prompt": "a fox"}, headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "wait=1")
    assert set(answer.get_json()) >= {"id", "links", "requests", "published"}


def test_nobody_waits_longer_than_the_server_lets_them(client: FlaskClient) -> None:
    with configured(ARGUS_COMPAT_WAIT_S="1"):
        answer = client.post("/v1/jobs", json={"prompt": "a fox"}, headers={"Prefer": "wait=50"})
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "wait=1")


def test_jobs_and_requests_are_read_when_they_are_done(client: FlaskClient) -> None:
    job = client.post("/v1/jobs", json={"prompts": ["a fox", "a bear"]}).get_json()
    links = [job["links"]["self"], job["requests"][0]["link"]]
    assert [client.get(link, headers={"Prefer": "wait=1"}).get_json()["state"] for link in links] == [
        "waiting",
        "accepted",
    ]
    draw(job["requests"][0]["id"])
    started = time.monotonic()
    done = client.get(links[1], headers={"Prefer": "wait=60"})
    assert (done.get_json()["state"], done.headers["Preference-Applied"]) == ("done", "wait=60")
    assert time.monotonic() - started < 30
    assert client.get("/v1/jobs/" + "0" * 32, headers={"Prefer": "wait=60"}).status_code == 404
    assert "Preference-Applied" not in client.get(links[1]).headers


def test_a_preference_that_finds_no_place_is_passed_over(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    places = waiting.Places(1, 1)
    places.take("somebody", 100.0, "")
    monkeypatch.setattr(waiting, "PLACES_TO_WAIT", places)
    answer = client.post("/v1/jobs", json={"prompt": "a fox"}, headers={"Prefer": "wait=50"})
    assert answer.status_code == 202
    assert "Preference-Applied" not in answer.headers


@pytest.fixture(scope="module")
def web(services: Services, family_file: Path) -> Iterator[Web]:
    with web_process(services, family_file) as running:
        yield running


def answered(web: Web) -> int:
    """Submissions in the log."""
    return web.log().count("route=/v1/jobs")


def test_who_hangs_up_frees_the_place_and_the_job_goes_on(database: Services, web: Web) -> None:
    body, asked = json.dumps({"prompt": "a fox"}), 5
    head = "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nPrefer: wait=100\r\n"
    connections = [web.connect() for _ in range(asked)]
    for connection in connections:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    until(lambda: rows()[0] == asked)
    assert answered(web) == 0
    for connection in connections:
        connection.close()
    until(lambda: answered(web) == asked)  # long before the 100 s
    assert {request.state for request in requests(*State)} == {State.ACCEPTED}
