"""The worker's Celery task."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from core.messages import Generate
from core.receiving import receive
from workers.generation import Generation

if TYPE_CHECKING:
    from celery import Celery


def register_task(app: Celery, generation: Generation) -> Any:
    """Give the Celery app of this process its generation task."""

    def generate(request_id: str, epoch: int) -> None:
        generation.generate(uuid.UUID(request_id), epoch)
        claims = generation.claims
        generation.follower.limit_messages(claims.messages + claims.has_room)  # this one counts until it has returned

    return receive(app, Generate, generate)
