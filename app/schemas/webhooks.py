"""Webhooks as they are set up and told of."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.base import In, Out, Time
from app.schemas.hooks import TOLD, EventNames
from app.schemas.jobs import PageIn

EventState = Literal["waiting", "delivered", "failed", "gone"]


class EndpointIn(In):
    """Where the jobs of a tenant tell that name no address of their own."""

    url: str | None = Field(description="The address; null: none.")
    events: EventNames = Field(default=["job.done"], description=f"What is told. {TOLD}.")


class EndpointOut(Out):
    """What is set up for a tenant."""

    url: str | None
    events: list[str]
    has_secret: bool = Field(description="Whether there is a secret that signs; without one nothing can be told.")
    secret_before_until: datetime | None = Field(description="Until when the secret before signs too.")
    gone_at: datetime | None = Field(description="Since when `url` is told nothing more: it answered 410 Gone.")


class SecretOut(Out):
    """A new secret, told this once."""

    secret: str = Field(description="Verify with any library of Standard Webhooks.")


class TestIn(In):
    """Whom to tell that all is well."""

    url: str | None = Field(default=None, description="Left out: the address that is set up.")


class DeliveryOut(Out):
    """One try to tell."""

    at: datetime
    seconds: float
    status: int | None = Field(description="HTTP status of the answer; none: there was none.")
    error: str | None
    answer: str | None = Field(description="The beginning of the answer.")


class EventOut(Out):
    """Something that is told."""

    id: UUID
    message_id: str = Field(description="`webhook-id` of every try.")
    type: str
    job_id: UUID | None
    request_id: UUID | None
    url: str
    state: EventState = Field(description="failed: given up after a day; gone: the address answered 410.")
    attempts: int
    created_at: datetime
    next_at: datetime | None = Field(description="When it is told next; none when that is over.")
    link: str


class EventPage(EventOut):
    """The same with what is sent, and each try."""

    payload: str | None = Field(description="The body, from the first try on.")
    deliveries: list[DeliveryOut]


class EventList(Out):
    """Events, newest first."""

    total: int
    page: int
    per_page: int
    events: list[EventOut]


class Which(BaseModel):
    """Some of the events."""

    model_config = ConfigDict(extra="forbid")

    state: EventState | None = None
    job_id: UUID | None = None
    since: Time | None = Field(default=None, description="Of this time or later (ISO, UTC unless it says).")


class EventsIn(PageIn, Which):
    """Where in the list, and which."""


class ReplayIn(Which):
    """Which events to tell once more."""

    state: EventState | None = Field(default="failed", description="Those in this state; null: all.")


class ReplayOut(Out):
    """How many events are told once more."""

    replayed: int
