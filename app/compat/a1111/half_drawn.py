"""What a call that was interrupted answers with: images that are there, and of others what they looked like last.

The web UI decodes the latent as it was when somebody stopped it. Here that is the newest preview, which the worker made
on the way (`PREVIEWS` of each image); of a request that had none yet there is nothing.
"""

from __future__ import annotations

import io
import uuid
from dataclasses import dataclass

from PIL import Image as Pictures
from sqlalchemy.orm import Session

from app.compat.drawing import Drawing, drawing_of
from app.records.requests import requests_out
from app.schemas.requests import RequestOut
from core.database import transaction
from core.images import encode_png
from core.progress import newest_preview
from core.tables import Request, State


@dataclass(frozen=True)
class HalfDrawn(Drawing):
    """A request that was stopped on its way; `preview` is a JPEG file."""

    preview: bytes

    def png(self) -> bytes:
        """What it looked like last."""
        with Pictures.open(io.BytesIO(self.preview)) as picture:
            return encode_png(picture, {})


def so_far(job_id: uuid.UUID) -> list[Drawing]:
    """The images of a job in order, half-drawn ones among them."""
    with transaction() as session:
        found = [_so_far(session, request) for request in requests_out(session, Request.job_id == job_id)]
    return [drawing for drawing in found if drawing]


def _so_far(session: Session, request: RequestOut) -> Drawing | None:
    if request.state == State.DONE:
        return drawing_of(session, request)
    preview = newest_preview(session, request.id) if request.state == State.CANCELLED else None
    return HalfDrawn(request, "", "", preview.image) if preview else None
