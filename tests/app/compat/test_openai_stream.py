"""`stream: true`, by OpenAI's own client: its events, what goes wrong on the way, and who hangs up."""

from __future__ import annotations

import io
import threading
import time
import uuid
from collections.abc import Callable

import openai
import pytest
from flask.testing import FlaskClient
from openai.types import ImageGenCompletedEvent, ImageGenPartialImageEvent
from PIL import Image as Pictures
from sqlalchemy import update

from app import waiting
from core.database import transaction
from core.progress import write_preview
from core.tables import Job, Request, State
from tests.app.compat.openai_client import openai_client, picture_of
from tests.app.conftest import configured, draw, rows
from tests.app.test_compat import fail, stop, stored, worker

GENERATIONS = "/v1/images/generations"
COLOURS = ("blue", "green", "white")


def draw_with_previews(request: str) -> None:
    """As a worker does: runs, shows as many previews as are wanted, each of a colour of its own, stores the image."""
    id = uuid.UUID(request)
    with transaction() as session:
        session.execute(update(Request).where(Request.id == id).values(state=State.RUNNING, attempts=1))
    show_previews(id)
    draw(request)


def show_previews(id: uuid.UUID) -> None:
    with transaction() as session:
        wanted = session.get_one(Request, id).previews
    for number in range(wanted):
        file = io.BytesIO()
        Pictures.new("RGB", (64, 64), COLOURS[number]).save(file, "JPEG")
        write_preview(id, 1, number, file.getvalue())


def draw_before_its_previews(request: str) -> None:
    """As a worker does whose previews are slow."""
    draw(request)
    with transaction() as session:
        session.execute(update(Request).where(Request.id == uuid.UUID(request)).values(attempts=1))
    time.sleep(0.1)
    show_previews(uuid.UUID(request))


@pytest.mark.parametrize("partial", [0, 1, 2, 3])
def test_partial_images_come_before_the_image_and_usage_with_it(client: FlaskClient, partial: int) -> None:
    with worker(draw_with_previews):
        asked = openai_client(client).images.generate(
            prompt="a red apple", model="gpt-image-1", stream=True, partial_images=partial, size="1024x1024"
        )
        *partials, last = list(asked)
    assert [event.type for event in partials] == ["image_generation.partial_image"] * partial
    for number, event in enumerate(partials):
        assert isinstance(event, ImageGenPartialImageEvent)
        assert (event.partial_image_index, event.size, event.quality) == (number, "1024x1024", "auto")
        picture = picture_of(event.b64_json)
        assert (picture.format, picture.size) == ("PNG", (1024, 1024))
        wanted = Pictures.new("RGB", (1, 1), COLOURS[number]).getpixel((0, 0))
        assert all(abs(a - b) < 9 for a, b in zip(picture.getpixel((512, 512)), wanted, strict=True))
    assert isinstance(last, ImageGenCompletedEvent)
    assert (last.type, last.size, last.quality) == ("image_generation.completed", "1024x1024", "high")
    assert (last.output_format, last.background) == ("png", "opaque")
    assert last.usage.total_tokens == last.usage.input_tokens + last.usage.output_tokens > 0
    assert picture_of(last.b64_json).size == (1024, 1024)
    assert last.argus["level"] == "exact"  # type: ignore[attr-defined]
    assert [row.previews for row in stored()] == [partial]


def test_previews_that_are_written_just_after_the_image_come_before_it(client: FlaskClient) -> None:
    with worker(draw_before_its_previews):
        events = list(openai_client(client).images.generate(prompt="a red apple", stream=True, partial_images=2))
    assert [event.type.rpartition(".")[2] for event in events] == ["partial_image", "partial_image", "completed"]


def test_previews_that_never_come_are_not_waited_for_long(client: FlaskClient) -> None:
    with worker():
        events = list(openai_client(client).images.generate(prompt="a red apple", stream=True, partial_images=2))
    assert [event.type.rpartition(".")[2] for event in events] == ["completed"]


def test_each_of_several_images_is_completed(client: FlaskClient) -> None:
    with worker(draw_with_previews):
        asked = openai_client(client).images.generate(
            prompt="a", n=3, stream=True, partial_images=1, output_format="webp", quality="hd"
        )
        events = list(asked)
    assert sorted(event.type for event in events) == [
        *["image_generation.completed"] * 3,
        *["image_generation.partial_image"] * 3,
    ]
    assert {picture_of(event.b64_json).format for event in events} == {"WEBP"}
    assert {event.quality for event in events} == {"high"}
    done = [event.argus["seed"] for event in events if event.type.endswith("completed")]  # type: ignore[attr-defined]
    assert len(set(done)) == 3


def test_the_events_are_server_sent_events_that_nobody_keeps(client: FlaskClient) -> None:
    with worker():
        answer = client.post(GENERATIONS, json={"prompt": "a red apple", "stream": True, "partial_images": 2})
        text = answer.text
    assert (answer.status_code, answer.mimetype) == (200, "text/event-stream")
    assert answer.headers["Cache-Control"] == "no-store"
    assert len(answer.headers["X-Request-ID"]) == 16
    assert answer.headers["X-Argus-Job"]
    events = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    assert [block.partition("\n")[0] for block in events] == ["event: image_generation.completed"]


@pytest.mark.parametrize(
    ("finish", "code", "said"), [(fail, "not_a_number", "NaN"), (stop, "cancelled", "was cancelled")]
)
def test_what_goes_wrong_on_the_way_is_raised_by_the_client(
    client: FlaskClient, finish: Callable[[str], object], code: str, said: str
) -> None:
    with worker(finish), pytest.raises(openai.APIError, match=said) as told:
        list(openai_client(client).images.generate(prompt="a", stream=True))
    assert told.value.code == code


def test_images_that_are_there_come_before_the_error_of_another(client: FlaskClient) -> None:
    seen: list[str] = []

    def first_only(request: str) -> None:
        seen.append(request)
        (draw if len(seen) == 1 else fail)(request)

    with worker(first_only):
        events = iter(openai_client(client).images.generate(prompt="a", n=2, stream=True))
        assert next(events).type == "image_generation.completed"
        with pytest.raises(openai.APIError, match="NaN"):
            next(events)


def test_a_stream_that_takes_too_long_names_its_job(client: FlaskClient) -> None:
    with configured(ARGUS_COMPAT_WAIT_S="0.1"), pytest.raises(openai.APIError, match="It goes on") as told:
        list(openai_client(client).images.generate(prompt="a", stream=True))
    assert told.value.code == "took_too_long"
    assert stored()[0].state == State.ACCEPTED


def test_what_is_wrong_with_the_call_is_answered_before_a_stream_begins(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = openai_client(client)
    with pytest.raises(openai.BadRequestError):
        api.images.generate(prompt="", stream=True)
    with pytest.raises(openai.NotFoundError):
        api.images.generate(prompt="a", model="flux", stream=True)
    monkeypatch.setattr(waiting, "PLACES_TO_WAIT", waiting.Places(1, 1))
    leave = waiting.PLACES_TO_WAIT.take("127.0.0.1", 7.0, "")
    with pytest.raises(openai.RateLimitError):
        api.images.generate(prompt="a", stream=True)
    leave()
    assert rows() == (0, 0)


def abandoned() -> bool:
    """Whether the only job is one that its client has left."""
    with transaction() as session:
        (job,) = {row.job_id for row in stored()}
        return session.get_one(Job, job).abandoned_at is not None


def test_who_hangs_up_frees_the_place_and_leaves_the_job(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PLACES_TO_WAIT", waiting.Places(1, 1))
    answer = client.post(GENERATIONS, json={"prompt": "a", "stream": True}, buffered=False)
    assert next(iter(answer.response)).startswith(b":")
    answer.close()
    waiting.PLACES_TO_WAIT.take("127.0.0.1", 1.0, "")()
    assert abandoned()


def test_a_stream_whose_server_hears_of_a_hang_up_just_ends(client: FlaskClient) -> None:
    told: list[Callable[[], None]] = []
    answer = client.post(
        GENERATIONS,
        json={"prompt": "a", "stream": True},
        buffered=False,
        environ_overrides={waiting.HANG_UP: told.append},
    )
    parts = iter(answer.response)
    assert next(parts) == next(parts) == b": drawing\n\n"
    told[0]()
    assert set(parts) <= {b": drawing\n\n"}
    assert abandoned()


def test_places_are_given_back_when_a_stream_ends(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PLACES_TO_WAIT", waiting.Places(1, 1))
    with worker():
        for _ in range(3):
            assert list(openai_client(client).images.generate(prompt="a", stream=True))
    assert threading.active_count() < 20
