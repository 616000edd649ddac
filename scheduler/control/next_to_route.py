"""What the router takes next: a few requests of each tenant that has some, each tenant's in the order of their drawing.

Reading a prompt takes some milliseconds, so the way to a level is a queue like any other: with turns, who sends one
prompt does not wait until another's ten thousand are read (docs/decisions/0091).
"""

from __future__ import annotations

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from core.families import Family
from core.tables import Request, ServiceClass
from scheduler.observation.queries import background_by_level

MOST = 32  # requests of one pass: about a second's reading where workers leave little of the processors
THESE = "r.state = 'accepted' AND r.family = :family AND r.service_class = :service_class"
ORDER = "r.priority DESC, r.deadline_at, r.position"
# Tenants by steps along the index: as many look-ups as there are tenants, however much waits.
NEXT = text(f"""
WITH RECURSIVE wanting AS (
    (SELECT r.tenant FROM request r WHERE {THESE} ORDER BY r.tenant LIMIT 1)
    UNION ALL
    SELECT (SELECT r.tenant FROM request r WHERE {THESE} AND r.tenant > w.tenant ORDER BY r.tenant LIMIT 1)
    FROM wanting w WHERE w.tenant IS NOT NULL
)
SELECT r.* FROM wanting w CROSS JOIN LATERAL (
    SELECT r.*, row_number() OVER (ORDER BY {ORDER}) AS turn FROM request r
    WHERE {THESE} AND r.tenant = w.tenant ORDER BY {ORDER} LIMIT :most
) r ORDER BY r.turn, {ORDER} LIMIT :most
""")


def next_to_route(session: Session, family: Family, ahead: int) -> list[Request]:
    """The next to route: interactive ones, then batch work while no more than `ahead` of it is queued."""
    if found := _of_class(session, family, ServiceClass.INTERACTIVE, MOST):
        return found
    room = ahead - sum(background_by_level(session, family).values())
    return _of_class(session, family, ServiceClass.BATCH, min(room, MOST)) if room > 0 else []


def _of_class(session: Session, family: Family, service_class: ServiceClass, most: int) -> list[Request]:
    given = {"family": family.id, "service_class": service_class, "most": most}
    return list(session.scalars(select(Request).from_statement(NEXT), given))
