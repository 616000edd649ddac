"""How far a client's work is, and stopping it, in the web UI's words."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image as Pictures
from sqlalchemy import select

from core.database import transaction
from core.progress import Step, write_preview, write_steps
from core.tables import Request, State
from tests.app.conftest import configured, draw
from tests.app.test_compat import A1111, code, stored
from tests.app.test_compat import _quick as _quick

API = "/sdapi/v1"
OTHER = {"REMOTE_ADDR": "192.0.2.7"}


def progress(client: FlaskClient, query: str = "", **more: Any) -> dict[str, Any]:
    answer = client.get(f"{API}/progress{query}", **more)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def begin(request: Request, step: int, steps: int = 20, preview: bytes = b"") -> None:
    """Leave a request as a worker that draws it would."""
    with transaction() as session:
        row = session.get_one(Request, request.id)
        row.state, row.attempts, row.level = State.RUNNING, 1, "exact"
    write_steps([Step(request.id, 1, step, steps)])
    if preview:
        write_preview(request.id, 1, 0, preview)


def jpeg(colour: str) -> bytes:
    sink = io.BytesIO()
    Pictures.new("RGB", (64, 64), colour).save(sink, "JPEG")
    return sink.getvalue()


def left_waiting(client: FlaskClient, **body: Any) -> list[Request]:
    """Send a call that nobody waits for any more; its requests."""
    with configured(ARGUS_COMPAT_WAIT_S="0.01"):
        job = client.post(A1111, json={"prompt": "a", **body}, **body.pop("more", {})).headers["X-Argus-Job"]
    return [row for row in stored() if str(row.job_id) == job]


@contextmanager
def waiting_call(client: FlaskClient, **body: Any) -> Iterator[list[Any]]:
    """A call to `txt2img` that waits meanwhile; its answer, once it is there, is in the list."""
    answers: list[Any] = []

    def call() -> None:
        answers.append(client.application.test_client().post(A1111, json={"prompt": "a", **body}))

    thread = threading.Thread(target=call)
    thread.start()
    while not stored():
        time.sleep(0.02)
    try:
        yield answers
    finally:
        thread.join(20)
    assert answers


def test_nothing_open_is_zero(client: FlaskClient, submit: Callable[..., dict[str, Any]]) -> None:
    submit(prompt="sent to another address")
    told = progress(client)
    assert (told["progress"], told["eta_relative"], told["current_image"]) == (0.0, 0.0, None)
    assert (told["state"]["job_count"], told["state"]["sampling_steps"], told["state"]["job"]) == (0, 0, "")


def test_the_share_is_of_all_steps_and_the_state_of_what_runs(client: FlaskClient) -> None:
    first, second, third = left_waiting(client, batch_size=3)
    assert progress(client)["progress"] == 0.01
    draw(str(first.id))
    begin(second, 5, preview=b"a preview")
    told = progress(client)
    assert told["progress"] == pytest.approx((20 + 5) / 60)
    assert told["eta_relative"] > 0
    state = told["state"]
    assert (state["sampling_step"], state["sampling_steps"]) == (5, 20)
    assert (state["job"], state["job_count"], state["job_no"]) == ("txt2img", 3, 1)
    assert {"skipped", "interrupted", "stopping_generation", "job_timestamp"} <= set(state)
    assert base64.b64decode(told["current_image"]) == b"a preview"
    assert progress(client, "?skip_current_image=true")["current_image"] is None
    begin(third, 9)
    assert progress(client)["state"]["sampling_step"] == 9
    draw(str(second.id))
    draw(str(third.id))
    assert progress(client)["progress"] == 0.0


def test_a_client_sees_and_stops_only_what_is_its_own(client: FlaskClient) -> None:
    left_waiting(client)
    assert progress(client, environ_overrides=OTHER)["progress"] == 0.0
    assert client.post(f"{API}/interrupt", environ_overrides=OTHER).get_json() == {}
    assert [row.state for row in stored()] == [State.ACCEPTED]
    assert client.post(f"{API}/interrupt").get_json() == {}
    assert [row.state for row in stored()] == [State.CANCELLED]
    assert progress(client)["state"]["job_count"] == 0


def test_an_interrupted_call_answers_with_the_images_that_are_there(client: FlaskClient) -> None:
    with waiting_call(client, batch_size=3, seed=5) as answers:
        draw(str(stored()[1].id))
        client.post(f"{API}/interrupt", data=b"", content_type="application/json")
    assert answers[0].status_code == 200, answers[0].text
    assert len(answers[0].get_json()["images"]) == 1
    assert json.loads(answers[0].get_json()["info"])["all_seeds"] == [6]


def test_an_interrupted_call_without_an_image_is_an_error(client: FlaskClient) -> None:
    with waiting_call(client) as answers:
        client.post(f"{API}/interrupt")
    assert (answers[0].status_code, code(answers[0])) == (409, "cancelled")


def test_an_interrupted_call_answers_with_a_half_drawn_image_as_its_last_preview_shows_it(client: FlaskClient) -> None:
    with waiting_call(client, batch_size=3, seed=5, width=96, height=64) as answers:
        first, second, _ = stored()
        draw(str(first.id))
        begin(second, 14, preview=jpeg("blue"))
        client.post(f"{API}/interrupt")
    answer = answers[0].get_json()
    info, half = json.loads(answer["info"]), Pictures.open(io.BytesIO(base64.b64decode(answer["images"][1])))
    assert info["all_seeds"] == [5, 6]
    assert (half.format, half.size) == ("PNG", (96, 64))
    assert half.getpixel((48, 32)) == pytest.approx((0, 0, 255), abs=3)
    assert "Seed: 6" in info["infotexts"][1]
    assert [one["image_id"] is None for one in info["argus"]] == [False, True]


def test_a_skipped_image_is_there_half_drawn_and_the_call_goes_on(client: FlaskClient) -> None:
    with waiting_call(client, batch_size=2, seed=5) as answers:
        first, second = stored()
        begin(first, 14, preview=jpeg("red"))
        client.post(f"{API}/skip")
        draw(str(second.id))
    assert json.loads(answers[0].get_json()["info"])["all_seeds"] == [5, 6]
    assert [row.state for row in stored()] == [State.CANCELLED, State.DONE]


def test_skipping_leaves_out_what_runs_and_the_call_goes_on(client: FlaskClient) -> None:
    with waiting_call(client, batch_size=2, seed=5) as answers:
        first, second = stored()
        begin(second, 3)
        client.post(f"{API}/skip")
        draw(str(first.id))
    assert json.loads(answers[0].get_json()["info"])["all_seeds"] == [5]
    assert [row.state for row in stored()] == [State.DONE, State.CANCELLED]
    assert client.post(f"{API}/skip").get_json() == {}


def test_calls_ask_for_previews(client: FlaskClient) -> None:
    left_waiting(client)
    with transaction() as session:
        assert session.scalars(select(Request.previews)).all() == [2]
