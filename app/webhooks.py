"""Whom jobs tell: an address of their own, or their tenant's; the secrets that sign; telling once more."""

from __future__ import annotations

import base64
import secrets
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.idempotency import HEADER, digest_of, first_made
from core.errors import BadInput, Conflict
from core.webhook_tables import WebhookEndpoint, WebhookEvent
from core.webhooks.addresses import target_of
from core.webhooks.payloads import JOB_DONE, TEST

SECRET_BYTES = 32
ROTATION = timedelta(days=1)  # for which the secret before signs too
NATIVE = ("api", "csv", "web")  # sources whose jobs tell their tenant's address: others are answered with the images


def target_asked(url: str | None, events: Sequence[str] | None) -> dict[str, Any] | None:
    """What a job asks to be told, as its row keeps it. Raises `BadInput`."""
    if url is None:
        if events:
            raise BadInput("`webhook_events` says what is told to `webhook`: send both.", field="webhook_events")
        return None
    return {"url": url, "host": target_of(url).host, "events": sorted(set(events or [JOB_DONE]))}


def check_signs(session: Session, asked: dict[str, Any] | None, tenant: str) -> None:
    """Raise `BadInput` where a job asks to be told and nothing could sign that."""
    if asked and _secret(session, tenant) is None:
        raise _no_secret()


def set_endpoint(session: Session, tenant: str, url: str | None, events: Sequence[str]) -> None:
    """Have jobs that name no address tell this one, from now on; raises `BadInput`."""
    host = target_of(url, "url").host if url else None
    if url and _secret(session, tenant) is None:
        raise _no_secret()
    values = {"url": url, "host": host, "events": sorted(set(events)), "gone_at": None}
    _write(session, tenant, values)


def new_secret(session: Session, tenant: str) -> str:
    """Make a secret that signs from now on; the one before signs too for a day, so that receivers can change.

    Sent again (`app.idempotency`), it is the first one; raises `Conflict` where that was replaced since.
    """
    made = f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"
    before = _secret(session, tenant)
    if first := first_made(session, digest_of(b"secret"), _id_of(made)):
        if before is None or _id_of(before) != first:
            raise Conflict("The secret that this key made was replaced since.", field=HEADER)
        return before
    values: dict[str, Any] = {"secret": made, "secret_before": before}
    values["secret_before_until"] = func.now() + ROTATION if before else None
    _write(session, tenant, values)
    return made


def test_event(session: Session, tenant: str, url: str | None) -> WebhookEvent:
    """Tell an address that all is well; raises `BadInput` where there is none, or nothing that signs."""
    endpoint = session.get(WebhookEndpoint, tenant)
    if endpoint is None or endpoint.secret is None:
        raise _no_secret()
    told = url or endpoint.url
    if told is None:
        raise BadInput("Name an address, or set one up first.", field="url")
    event = WebhookEvent(id=uuid.uuid4(), tenant=tenant, type=TEST, url=told, host=target_of(told, "url").host)
    session.add(event)
    session.flush()
    session.refresh(event)
    return event


def _secret(session: Session, tenant: str) -> str | None:
    return session.scalar(select(WebhookEndpoint.secret).where(WebhookEndpoint.tenant == tenant))


def _id_of(secret: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, secret)


def _write(session: Session, tenant: str, values: dict[str, Any]) -> None:
    new = insert(WebhookEndpoint).values({"tenant": tenant, "events": [JOB_DONE], **values})
    session.execute(new.on_conflict_do_update(index_elements=["tenant"], set_=values))


def _no_secret() -> BadInput:
    return BadInput(
        "Nothing could sign: make a secret first (`argus webhooks secret`, `POST /v1/webhooks/secret`).",
        field="webhook",
    )
