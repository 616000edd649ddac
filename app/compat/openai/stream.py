"""`stream: true`: partial images while they are drawn, then each image, as OpenAI's events.

Partial images are the engine's own: what the denoiser expects at an even share of the steps (⅓ and ⅔ for two). Those
that are written just after their image are waited for; later ones are left out, as the real API has it. What goes
wrong after the first byte is an event `error`, which its clients raise.
"""

from __future__ import annotations

import json
import time
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from flask import Response, g, stream_with_context
from sqlalchemy import select

from app import jobs, waiting
from app.compat.drawing import Drawing, drawing_of, take_place, took_too_long
from app.compat.openai.answers import Call
from app.compat.openai.blueprint import WORDS
from app.compat.openai.quality import PLAN
from app.records.requests import request_out
from app.rendering import remade
from app.schemas.errors import ErrorDetail
from core.database import transaction
from core.errors import ArgusError
from core.progress import previews_of
from core.settings import settings
from core.tables import OPEN_STATES, Request, State

PARTIAL, COMPLETED, ERROR = "partial_image", "completed", "error"
NOTHING_NEW = ": drawing\n\n"
LATE_S = 1.0  # previews may come after their image


class _HungUp(Exception):
    """Nobody reads on."""


def stream(call: Call) -> Response:
    """Submit the job and answer with its events; what is wrong with the call is raised before the stream begins."""
    leave = take_place()
    try:
        g.job_id = jobs.submit(call.job, "openai", call.wanted.partial_images or 0).job.id
    except BaseException:
        leave()
        raise
    events = _followed(call, g.job_id, waiting.hanging_up(), leave)
    response = Response(stream_with_context(events), mimetype="text/event-stream")
    response.headers["Cache-Control"], response.headers["X-Accel-Buffering"] = "no-store", "no"
    response.call_on_close(leave)
    return response


def _followed(
    call: Call, job_id: uuid.UUID, on_hang_up: waiting.OnHangUp | None, leave: Callable[[], None]
) -> Iterator[str]:
    """The stream's text. A client that hangs up frees its place at once."""
    hung_up = True  # unless it comes to an end
    try:
        yield NOTHING_NEW
        with suppress(_HungUp):
            yield from _until_done(call, job_id, on_hang_up)
            hung_up = False
    except ArgusError as error:
        hung_up = False
        yield _error(error)
    finally:
        leave()
        if hung_up and not waiting.LEAVING.is_set():  # else the server has, and the client will be back
            jobs.abandon(job_id)


def _until_done(call: Call, job_id: uuid.UUID, on_hang_up: waiting.OnHangUp | None) -> Iterator[str]:
    """Events of a job until all of its images are there.

    Raises:
        TookTooLong, Cancelled, EngineError, NotFound: as `app.compat.drawing.draw`, when the others are sent.
        _HungUp: the client is gone.
    """
    end, images = time.monotonic() + settings().compat_wait_s, _Images(call, job_id)
    with waiting.following(job_id, on_hang_up) as follower:
        while True:
            yield from images.news()
            if images.all_there:
                break
            if follower.client_is_gone:
                raise _HungUp
            if (left := end - time.monotonic()) <= 0:
                raise took_too_long(job_id)
            yield NOTHING_NEW
            follower.wait(min(left, LATE_S) if images.late else left)
    if images.failed:
        raise images.failed


@dataclass
class _Images:
    """What was sent of a job's images."""

    call: Call
    job_id: uuid.UUID
    all_there: bool = False
    failed: ArgusError | None = None
    _sent: dict[uuid.UUID, int] = field(default_factory=dict)  # the last preview of each
    _ended: set[uuid.UUID] = field(default_factory=set)
    late: dict[uuid.UUID, float] = field(default_factory=dict)  # done, and since when their previews are waited for

    def news(self) -> Iterator[str]:
        """Events since the last time: previews of each image, then the image."""
        mine = select(Request.id, Request.state).where(Request.job_id == self.job_id).order_by(Request.position)
        with transaction() as session:
            rows = session.execute(mine).tuples().all()
        for id, state in rows:
            if id not in self._ended:
                yield from self._previews(id)
                if state not in OPEN_STATES and not (state == State.DONE and self._waits_for_previews(id)):
                    yield from self._image(id)
        self.all_there = all(id in self._ended for id, _ in rows)

    def _waits_for_previews(self, id: uuid.UUID) -> bool:
        """Whether previews of an image that is done may still come."""
        missing = self._sent.get(id, -1) + 1 < (self.call.wanted.partial_images or 0)
        return missing and time.monotonic() < self.late.setdefault(id, time.monotonic()) + LATE_S

    def _previews(self, id: uuid.UUID) -> Iterator[str]:
        if not self.call.wanted.partial_images:
            return
        with transaction() as session:
            new = [(found.number, found.image) for found in previews_of(session, id, self._sent.get(id, -1))]
        for number, image in new:
            self._sent[id] = number
            picture = b64encode(remade(image, self.call.rendering)).decode()
            about = {"request_id": str(id), "job_id": str(self.job_id)}
            told = {"partial_image_index": number, "quality": self._quality_asked, "argus": about}
            yield self._event(PARTIAL, picture, told)

    @property
    def _quality_asked(self) -> str:
        """As the events have it; what an image gets is known when it is there."""
        asked = self.call.wanted.quality
        return "auto" if asked in PLAN else "high" if asked == "hd" else str(asked)

    def _image(self, id: uuid.UUID) -> Iterator[str]:
        self._ended.add(id)
        self.late.pop(id, None)
        try:
            with transaction() as session:
                drawing = drawing_of(session, request_out(session, id))
        except ArgusError as error:
            self.failed = error
        else:
            yield self._event(COMPLETED, drawing.base64(self.call.rendering), self._told(drawing))

    def _told(self, drawing: Drawing) -> dict[str, Any]:
        call = self.call
        usage, told = call.usage([drawing]), call.told(drawing)
        return {
            "quality": call.quality(drawing),
            "usage": usage.model_dump(mode="json"),
            "argus": told.model_dump(mode="json"),
        }

    def _event(self, kind: str, picture: str, told: dict[str, Any]) -> str:
        call = self.call
        about = {"size": call.size, "output_format": call.rendering.format, "background": "opaque"}
        return _text(
            f"{call.wanted.deed}.{kind}", {"created_at": int(time.time()), "b64_json": picture, **about, **told}
        )


def _error(error: ArgusError) -> str:
    body, _ = WORDS.tell(ErrorDetail.model_validate(error), error.status)
    return _text(ERROR, body)


def _text(kind: str, data: dict[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n"
