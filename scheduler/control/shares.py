"""Fair shares live (`scheduler.policies.fairness`): how much of a tenant is read and waits in front.

Each tenant that wants the devices may have in front what its share can have in time. The router takes no more of its
requests than that (`scheduler.control.next_to_route`); and what was queued before another tenant came is set aside
whenever requests were routed, latest deadlines first. Where only one tenant wants the devices, nothing is asked or
changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import structlog
from sqlalchemy.exc import SQLAlchemyError

from core.database import single_statement
from core.families import Family
from core.open_requests import queued_by_tenant
from core.queued_requests import set_aside_over
from core.tenant_tables import ITSELF
from scheduler.observation.snapshot import Snapshot
from scheduler.policies.fairness import USUAL, allowances, in_time

log = structlog.get_logger(__name__)


def allowed(snapshot: Snapshot, sending: Collection[str]) -> dict[str, int]:
    """How many requests of each tenant that wants the devices may wait in front; empty where only one does, or nobody
    knows what requests take. `sending` are tenants of whom the readings need not know yet."""
    readings = snapshot.readings
    names = {*sending, *readings.in_front} - {ITSELF}
    wanting = {tenant: readings.tenants.get(tenant, USUAL) for tenant in names}
    if snapshot.policy is None:
        return {}
    return allowances(wanting, wanting, in_time(snapshot.policy.latencies, snapshot.load.workers))


def settle(family: Family, snapshot: Snapshot, routed: Collection[str]) -> int:
    """Set aside what is over; returns how much. `routed` are tenants of requests with a latency target, just routed."""
    most = allowed(snapshot, routed)
    try:
        return _settle(family, most) if most else 0
    except SQLAlchemyError:
        log.exception("fair shares were not settled; they are with the next requests")
        return 0


def _settle(family: Family, most: Mapping[str, int]) -> int:
    mine = Counter[str]()
    with single_statement() as session:
        for tenant, _, in_front, count in queued_by_tenant(session, family):
            mine[tenant] += count * in_front
    return sum(set_aside_over(family.id, tenant, n) for tenant, n in most.items() if mine[tenant] > n)
