"""Events of webhooks as answers show them: the caller's own."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from app.links import link
from app.schemas.webhooks import DeliveryOut, EndpointOut, EventList, EventOut, EventPage, EventsIn, Which
from core.errors import NotFound
from core.webhook_tables import WebhookDelivery, WebhookEndpoint, WebhookEvent
from core.webhooks.outbox import WAITING, message_id


def endpoint_out(session: Session, tenant: str) -> EndpointOut:
    """What is set up for a tenant."""
    found = session.get(WebhookEndpoint, tenant) or WebhookEndpoint(tenant=tenant, events=[])
    return EndpointOut(
        url=found.url,
        events=found.events,
        has_secret=found.secret is not None,
        secret_before_until=found.secret_before_until,
        gone_at=found.gone_at,
    )


def chosen(which: Which, tenant: str) -> list[ColumnElement[bool]]:
    """The conditions of some events of a tenant."""
    wanted: list[ColumnElement[bool]] = [WebhookEvent.tenant == tenant]
    if which.state:
        wanted.append(WebhookEvent.state == which.state)
    if which.job_id:
        wanted.append(WebhookEvent.job_id == which.job_id)
    if which.since:
        wanted.append(WebhookEvent.created_at >= which.since)
    return wanted


def event_list(session: Session, where: EventsIn, tenant: str) -> EventList:
    """Events of a tenant, newest first."""
    wanted = chosen(where, tenant)
    total = session.scalar(select(func.count()).select_from(WebhookEvent).where(*wanted)) or 0
    newest = select(WebhookEvent).where(*wanted).order_by(WebhookEvent.created_at.desc(), WebhookEvent.id)
    rows = session.scalars(newest.offset((where.page - 1) * where.per_page).limit(where.per_page))
    events = [event_out(row) for row in rows]
    return EventList(total=total, page=where.page, per_page=where.per_page, events=events)


def find_event(session: Session, event_id: uuid.UUID, tenant: str) -> WebhookEvent:
    """An event of a tenant; raises `NotFound`."""
    event = session.get(WebhookEvent, event_id)
    if event is None or event.tenant != tenant:
        raise NotFound(f"There is no event {event_id}.", field="event_id")
    return event


def event_out(event: WebhookEvent) -> EventOut:
    """An event as lists show it."""
    return EventOut(**_columns(event))


def event_page(session: Session, event_id: uuid.UUID, tenant: str) -> EventPage:
    """An event with each try to tell it; raises `NotFound`."""
    event = find_event(session, event_id, tenant)
    tries = select(WebhookDelivery).where(WebhookDelivery.event_id == event.id).order_by(WebhookDelivery.id)
    deliveries = [DeliveryOut.model_validate(each) for each in session.scalars(tries)]
    return EventPage(**_columns(event), payload=event.payload, deliveries=deliveries)


def _columns(event: WebhookEvent) -> dict[str, Any]:
    names = ("id", "type", "job_id", "request_id", "url", "state", "attempts", "created_at")
    return {
        **{name: getattr(event, name) for name in names},
        "message_id": message_id(event.id),
        "next_at": event.next_at if event.state == WAITING else None,
        "link": link(f"/v1/webhooks/events/{event.id}"),
    }
