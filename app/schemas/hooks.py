"""What webhooks can be told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from app.schemas.base import listed
from core.webhooks.payloads import EVENTS

EventName = Literal["job.done", "request.done", "request.failed"]
TOLD = "; ".join(f"`{name}`: {meaning}" for name, meaning in EVENTS.items())


EventNames = Annotated[list[EventName], BeforeValidator(listed), Field(min_length=1, max_length=len(EVENTS))]
