"""What webhooks can be told."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from core.webhooks.payloads import EVENTS

EventName = Literal["job.done", "request.done", "request.failed"]
TOLD = "; ".join(f"`{name}`: {meaning}" for name, meaning in EVENTS.items())


def _listed(value: Any) -> Any:
    """Names with commas between them, as forms send them, as a list."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


EventNames = Annotated[list[EventName], BeforeValidator(_listed), Field(min_length=1, max_length=len(EVENTS))]
