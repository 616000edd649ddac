"""`/v1/webhooks`: whom jobs tell, the secret that signs, what was told, and telling once more."""

from __future__ import annotations

import uuid
from typing import Any

from apiflask import APIBlueprint

from app import webhooks
from app.access import caller, needs
from app.records.webhooks import chosen, endpoint_out, event_list, event_out, event_page, find_event
from app.schemas.submission import KeyIn
from app.schemas.webhooks import (
    EndpointIn,
    EndpointOut,
    EventList,
    EventOut,
    EventPage,
    EventsIn,
    ReplayIn,
    ReplayOut,
    SecretOut,
    TestIn,
)
from app.security import refuse_all_but_json
from core.database import transaction
from core.keys import Scope
from core.webhook_tables import WebhookEvent
from core.webhooks.outbox import replay

blueprint = APIBlueprint("webhooks", __name__, url_prefix="/v1/webhooks", tag="Webhooks")


@blueprint.before_request
def only_json() -> None:
    """The body is JSON, where there is one."""
    refuse_all_but_json(needed=False)


@blueprint.get("")
@needs(Scope.READ)
@blueprint.output(EndpointOut)
def read_endpoint() -> Any:
    """Read whom jobs tell

    The address of jobs that name none of their own, and whether there is a secret.
    """
    with transaction() as session:
        return endpoint_out(session, caller().tenant)


@blueprint.put("")
@needs(Scope.SUBMIT)
@blueprint.input(EndpointIn, arg_name="wanted")
@blueprint.output(EndpointOut)
def set_endpoint(wanted: EndpointIn) -> Any:
    """Set whom jobs tell

    From now on, jobs that name no `webhook` tell this address. It is told again where it had answered 410.
    """
    with transaction() as session:
        webhooks.set_endpoint(session, caller().tenant, wanted.url, wanted.events)
        return endpoint_out(session, caller().tenant)


@blueprint.post("/secret")
@needs(Scope.SUBMIT)
@blueprint.input(KeyIn, location="headers", arg_name="key")
@blueprint.output(SecretOut, 201, description="The secret, told this once")
@blueprint.doc(responses={409: "The secret that this `Idempotency-Key` made was replaced since"})
def make_secret(key: KeyIn) -> Any:
    """Make a secret

    It signs from now on, and is told this once; the one before signs too for a day.
    """
    with transaction() as session:
        return SecretOut(secret=webhooks.new_secret(session, caller().tenant))


@blueprint.post("/test")
@needs(Scope.SUBMIT)
@blueprint.input(TestIn, arg_name="wanted")
@blueprint.output(EventOut, 202, description="It will be told")
def test_endpoint(wanted: TestIn) -> Any:
    """Try a webhook

    Tells an event `webhook.test` like any other.
    """
    with transaction() as session:
        return event_out(webhooks.test_event(session, caller().tenant, wanted.url))


@blueprint.get("/events")
@needs(Scope.READ)
@blueprint.input(EventsIn, location="query", arg_name="where")
@blueprint.output(EventList)
def list_events(where: EventsIn) -> Any:
    """List events, newest first

    What is told or was, of the last 30 days (ARGUS_WEBHOOK_DAYS).
    """
    with transaction() as session:
        return event_list(session, where, caller().tenant)


@blueprint.get("/events/<uuid:event_id>")
@needs(Scope.READ)
@blueprint.output(EventPage)
def read_event(event_id: uuid.UUID) -> Any:
    """Read an event

    With what is sent, and each try to tell it.
    """
    with transaction() as session:
        return event_page(session, event_id, caller().tenant)


@blueprint.post("/events/<uuid:event_id>/replay")
@needs(Scope.SUBMIT)
@blueprint.output(EventOut, 202, description="It will be told once more")
def replay_event(event_id: uuid.UUID) -> Any:
    """Tell an event once more

    With the same id and the same body; one that waits is told now.
    """
    with transaction() as session:
        event = find_event(session, event_id, caller().tenant)
        replay(session, WebhookEvent.id == event.id)
        session.refresh(event)
        return event_out(event)


@blueprint.post("/replay")
@needs(Scope.SUBMIT)
@blueprint.input(ReplayIn, arg_name="which")
@blueprint.output(ReplayOut, 202, description="So many will be told once more")
def replay_events(which: ReplayIn) -> Any:
    """Tell events once more

    Those that failed, unless the body says others.
    """
    with transaction() as session:
        return ReplayOut(replayed=replay(session, *chosen(which, caller().tenant)))
