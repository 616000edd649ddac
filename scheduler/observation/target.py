"""The latency target of requests that set no deadline: one definition for the API, the planner and the pages.

It follows what the reference level takes *here*, as workers measure it at their first start and correct it while they
serve (`workers/measure/calibrate.py`), and only without such a worker what a profile says.
"""

from __future__ import annotations

import math
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.families import Family
from core.settings import settings
from core.tables import Worker
from scheduler.observation.queries import profiles

STEP_S = 0.25  # so that small corrections do not make a new target of every request
LEAST_S = 2.0  # a person who waits does not notice less
UNMEASURED_S = 20.0  # the reference level, as long as neither a worker nor a profile says what it takes


def latency_target_s(session: Session, family: Family) -> float:
    """Seconds from acceptance to the stored image: as set, else a multiple of what the reference level takes."""
    if settings().slo_s:
        return settings().slo_s
    return target_of(reference_s(session, family))


def target_of(exact_s: float) -> float:
    """The default for what one request at the reference level takes, alone, in seconds."""
    return math.ceil(max(LEAST_S, settings().slo_factor * exact_s) / STEP_S) * STEP_S


def reference_s(session: Session, family: Family) -> float:
    """Seconds of one request alone at the reference level, on the slowest type of device that works here; while none
    does, of those that have."""
    alive = Worker.seen_at > func.now() - timedelta(seconds=settings().stale_s)
    newest = select(Worker.device_type, Worker.stats["exact_s"].as_float(), alive).where(Worker.family == family.id)
    rows = session.execute(newest.order_by(Worker.seen_at)).tuples().all()
    working = [row for row in rows if row[2]] or rows
    found: dict[str, float | None] = {device_type: seconds for device_type, seconds, _ in working}  # the last counts
    measured = profiles(family, found)
    for device_type, profile in measured.items():
        if family.reference in profile.ids and found[device_type] is None:
            found[device_type] = profile.level(family.reference).latency_s
    return max((seconds for seconds in found.values() if seconds is not None), default=UNMEASURED_S)
