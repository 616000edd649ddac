"""Fair shares live (`scheduler.policies.fairness`): what a tenant sends beyond its share is set aside as it is routed.

Whenever requests were routed, each tenant that wants the devices may have in front what its share can have in time;
the rest, latest deadlines first, fills what others leave. Where but one tenant wants them, nothing is asked or changed.
"""

from __future__ import annotations

from collections.abc import Collection

import structlog
from sqlalchemy.exc import SQLAlchemyError

from core.families import Family
from core.open_requests import in_front_by_tenant
from core.queued_requests import set_aside_over
from core.tenant_tables import ITSELF
from scheduler.observation.snapshot import Snapshot
from scheduler.policies.fairness import USUAL, allowances, in_time

log = structlog.get_logger(__name__)


def settle(family: Family, snapshot: Snapshot, routed: Collection[str]) -> int:
    """Set aside what is over; returns how much. `routed` are tenants of requests with a latency target, just routed."""
    readings = snapshot.readings
    names = {*routed, *readings.in_front} - {ITSELF}
    wanting = {tenant: readings.tenants.get(tenant, USUAL) for tenant in names}
    if snapshot.policy is None or len(wanting) < 2:
        return 0
    try:
        return _settle(family, snapshot, wanting)
    except SQLAlchemyError:
        log.exception("fair shares were not settled; they are with the next requests")
        return 0


def _settle(family: Family, snapshot: Snapshot, wanting: dict[str, float]) -> int:
    policy = snapshot.policy
    assert policy is not None
    allowed = allowances(wanting, wanting, in_time(policy.latencies, snapshot.load.workers))
    mine = in_front_by_tenant(family)
    over = {tenant: most for tenant, most in allowed.items() if mine.get(tenant, 0) > most}
    return sum(set_aside_over(family.id, tenant, most) for tenant, most in over.items())
