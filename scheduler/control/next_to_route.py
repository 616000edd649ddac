"""What the router takes next: a few requests of each tenant that has some, each tenant's in the order of their drawing.

Reading a prompt takes some milliseconds, so the way to a level is a queue like any other: with turns, who sends one
prompt does not wait until another's ten thousand are read (docs/decisions/0091). And what cannot be drawn soon is not
read (docs/decisions/0117): while several tenants want the devices, no more of each is taken than its share can have in
time; of a flood, none in front (`is_flood`). What is over, or late by then, stays accepted while enough background work
of its tenant is queued; after that it is taken to be set aside, as batch work is to fill what others leave.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Integer, Text, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from core.families import Family
from core.open_requests import queued_by_tenant
from core.tables import Request, ServiceClass
from core.tenant_tables import ITSELF
from scheduler.control.shares import allowed
from scheduler.observation.snapshot import Snapshot
from scheduler.policies.fairness import FLOOD, is_flood

MOST = 32  # requests of one pass: about a second's reading where workers leave little of the processors
AHEAD, AHEAD_OF_WORKER = 256, 64  # background work of a tenant that is queued: at least, and for each worker
THESE = "r.state = 'accepted' AND r.family = :family AND r.service_class = :service_class"
ORDER = "r.priority DESC, r.deadline_at, r.position"
# Tenants by steps along the index: as many look-ups as there are tenants, however much waits.
TENANTS = text(f"""
WITH RECURSIVE sending AS (
    (SELECT r.tenant FROM request r WHERE {THESE} ORDER BY r.tenant LIMIT 1)
    UNION ALL
    SELECT (SELECT r.tenant FROM request r WHERE {THESE} AND r.tenant > s.tenant ORDER BY r.tenant LIMIT 1)
    FROM sending s WHERE s.tenant IS NOT NULL
)
SELECT tenant FROM sending WHERE tenant IS NOT NULL
""")
FIRST = f"""
SELECT r.* FROM unnest(:tenants, :rooms) AS s(tenant, room) CROSS JOIN LATERAL (
    SELECT r.*, row_number() OVER (ORDER BY {ORDER}) AS turn FROM request r
    WHERE {THESE} AND r.tenant = s.tenant AND %s ORDER BY {ORDER} LIMIT s.room
) r ORDER BY r.turn, {ORDER} LIMIT :most
"""
ANY, STILL_IN_TIME = (
    select(Request).from_statement(
        text(FIRST % which).bindparams(
            bindparam("tenants", type_=ARRAY(Text())), bindparam("rooms", type_=ARRAY(Integer()))
        )
    )
    for which in ("true", "r.deadline_at > now()")
)


# Of each tenant, how much can be in time yet; no more is counted than says whether it is a flood.
WAITING = text(f"""
SELECT s.tenant, (SELECT count(*) FROM (
    SELECT FROM request r WHERE {THESE} AND r.tenant = s.tenant AND r.deadline_at > now() LIMIT s.most
) AS counted) FROM unnest(:tenants, :most) AS s(tenant, most)
""").bindparams(bindparam("tenants", type_=ARRAY(Text())), bindparam("most", type_=ARRAY(Integer())))


@dataclass(frozen=True)
class Next:
    """Requests to route; those `set_aside` are more than their tenants' shares can have in time."""

    requests: list[Request]
    set_aside: bool = False


def next_to_route(session: Session, family: Family, snapshot: Snapshot, lately: Collection[str] = ()) -> Next:
    """The next to route: interactive ones, in front as far as shares go, then to be set aside; then batch work.

    Args:
        lately: tenants whose requests were routed a moment ago, of whom the readings need not know yet.
    """
    return _interactive(session, family, snapshot, lately) or _batch(session, family, snapshot)


def _interactive(session: Session, family: Family, snapshot: Snapshot, lately: Collection[str]) -> Next | None:
    sending = _sending(session, family, ServiceClass.INTERACTIVE)
    share = allowed(snapshot, {*sending, *lately})
    if not share:  # only one wants the devices
        found = _first(session, family, ServiceClass.INTERACTIVE, dict.fromkeys(sending, MOST))
        return Next(found) if found else None
    front, behind = _queued(session, family, ServiceClass.INTERACTIVE)
    floods = _floods(session, family, {tenant: share[tenant] for tenant in sending if tenant != ITSELF})
    in_front = {tenant: MOST if tenant == ITSELF else share[tenant] - front[tenant] for tenant in sending}
    room = {tenant: most for tenant, most in in_front.items() if tenant not in floods}
    if found := _first(session, family, ServiceClass.INTERACTIVE, room, in_time=True):
        return Next(found)
    room = {tenant: _ahead(snapshot) - behind[tenant] for tenant in sending}
    found = _first(session, family, ServiceClass.INTERACTIVE, room)
    return Next(found, set_aside=True) if found else None


def _floods(session: Session, family: Family, share: Mapping[str, int]) -> set[str]:
    """The tenants that have sent a flood."""
    which = {"family": family.id, "service_class": ServiceClass.INTERACTIVE}
    enough = {"tenants": list(share), "most": [FLOOD * most + 1 for most in share.values()]}
    found = session.execute(WAITING, which | enough)
    return {tenant for tenant, waiting in found if is_flood(waiting, share[tenant])}


def _batch(session: Session, family: Family, snapshot: Snapshot) -> Next:
    """Batch work that workers may come to soon: the rest stays accepted (docs/decisions/0097)."""
    sending = _sending(session, family, ServiceClass.BATCH)
    if not sending:
        return Next([])
    _, behind = _queued(session, family)
    room = {tenant: _ahead(snapshot) - behind[tenant] for tenant in sending}
    return Next(_first(session, family, ServiceClass.BATCH, room))


def _ahead(snapshot: Snapshot) -> int:
    return max(AHEAD, AHEAD_OF_WORKER * len(snapshot.workers))


def _queued(
    session: Session, family: Family, service_class: ServiceClass | None = None
) -> tuple[Counter[str], Counter[str]]:
    """What is queued of each tenant: in front; and in the background, of a class or all."""
    front, behind = Counter[str](), Counter[str]()
    for tenant, of_class, in_front, count in queued_by_tenant(session, family):
        if in_front:
            front[tenant] += count
        elif service_class in (None, of_class):
            behind[tenant] += count
    return front, behind


def _sending(session: Session, family: Family, service_class: ServiceClass) -> Collection[str]:
    """Tenants of whom something is accepted."""
    return list(session.scalars(TENANTS, {"family": family.id, "service_class": service_class}))


def _first(
    session: Session, family: Family, service_class: ServiceClass, room: Mapping[str, int], in_time: bool = False
) -> list[Request]:
    """The first of each tenant in turn, as far as there is room for its; only those that can be `in_time` yet."""
    open_to = {tenant: min(most, MOST) for tenant, most in room.items() if most > 0}
    if not open_to:
        return []
    given = {"family": family.id, "service_class": service_class, "most": MOST}
    given |= {"tenants": list(open_to), "rooms": list(open_to.values())}
    return list(session.scalars(STILL_IN_TIME if in_time else ANY, given))
