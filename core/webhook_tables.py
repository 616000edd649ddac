"""What PostgreSQL keeps of webhooks: whom to tell, what there is to tell, and how telling went.

::

    webhook_endpoint (of a tenant)     webhook_event 1─n webhook_delivery     webhook_host

Events of requests are written by a trigger in the transaction that ends the request; those of jobs by the sweep that
sees their last request ended (`core.webhooks.outbox`). Job and request may be gone when an event is read.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, SmallInteger, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from core.states import Base
from core.tenant_tables import NAME_CHARS


class WebhookEndpoint(Base):
    """Of a tenant: the secrets that sign, and where jobs that name no address of their own tell."""

    __tablename__ = "webhook_endpoint"

    tenant: Mapped[str] = mapped_column(String(NAME_CHARS), primary_key=True)
    url: Mapped[str | None]
    host: Mapped[str | None]
    events: Mapped[list[str]]
    secret: Mapped[str | None]
    secret_before: Mapped[str | None]  # signs too, until …
    secret_before_until: Mapped[datetime | None]
    gone_at: Mapped[datetime | None]  # since when `url` is not told any more: it answered 410


class WebhookEvent(Base):
    """Something that happened, to be told to one address; the life of it is drawn in `core.webhooks.outbox`."""

    __tablename__ = "webhook_event"
    __table_args__ = (
        Index("ix_webhook_event_due", "host", "next_at", postgresql_where=text("state = 'waiting'")),
        Index("ix_webhook_event_tenant", "tenant", "created_at"),
        Index("ix_webhook_event_job", "job_id"),
        Index("ix_webhook_event_created", "created_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    tenant: Mapped[str] = mapped_column(String(NAME_CHARS))
    type: Mapped[str] = mapped_column(String(32))
    job_id: Mapped[uuid.UUID | None]
    request_id: Mapped[uuid.UUID | None]
    url: Mapped[str]
    host: Mapped[str]  # of `url`, with its port
    payload: Mapped[str | None]  # as it was sent first: the same bytes are sent again
    state: Mapped[str] = mapped_column(String(16), default="waiting", server_default=text("'waiting'"))
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    next_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]


class WebhookDelivery(Base):
    """One try to tell of an event."""

    __tablename__ = "webhook_delivery"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    event_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("webhook_event.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    seconds: Mapped[float]
    status: Mapped[int | None]  # none: no answer
    error: Mapped[str | None]
    answer: Mapped[str | None]  # its beginning


class WebhookHost(Base):
    """A host that failed several times in a row, and until when it is left alone."""

    __tablename__ = "webhook_host"

    host: Mapped[str] = mapped_column(primary_key=True)
    failures: Mapped[int]
    resume_at: Mapped[datetime]
