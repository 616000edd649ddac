"""The latency target of requests that set no deadline: one definition for the API, the planner and the pages.

It follows what the reference level takes *here*, as workers measure it at their first start and correct it while they
serve (`workers/measure/calibrate.py`), and only without such a worker what a profile says.
"""

from __future__ import annotations

import math

from sqlalchemy import select
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
    target = max(LEAST_S, settings().slo_factor * reference_s(session, family))
    return math.ceil(target / STEP_S) * STEP_S


def reference_s(session: Session, family: Family) -> float:
    """Seconds of one request alone at the reference level, on the slowest type of device that has worked here."""
    newest = select(Worker.device_type, Worker.stats["exact_s"].as_float()).where(Worker.family == family.id)
    rows = session.execute(newest.order_by(Worker.seen_at))
    found: dict[str, float | None] = dict(rows.tuples().all())  # the last of a type counts
    measured = profiles(family, found)
    for device_type, profile in measured.items():
        if family.reference in profile.ids and found[device_type] is None:
            found[device_type] = profile.level(family.reference).latency_s
    return max((seconds for seconds in found.values() if seconds is not None), default=UNMEASURED_S)
