"""How long a submission would take, before it is sent: what waits, and what the workers that live carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.families import Family
from core.profiles import LevelProfile, Profile
from core.tables import ACTIVE_STATES, Request
from scheduler.observation.queries import live_workers, profiles


@dataclass(frozen=True)
class Estimate:
    """Seconds until the last image is stored, none where nobody can say; and how many requests go first: not those that
    are paused."""

    seconds: float | None
    waiting: int
    workers: int


def estimate(session: Session, family: Family, level: str, images: int) -> Estimate:
    """For so many images more, at a level by name or, where it is none of the family's, at the reference.

    Under load Argus lowers levels, so work without a level is done sooner than this says, not later.
    """
    workers = live_workers(session, family)
    level = level if level in family.levels else family.reference
    measured = profiles(family, {worker.device_type for worker in workers})
    costs = [_cost(measured, worker.device_type, level) for worker in workers]
    carried = [cost for cost in costs if cost]
    waiting = session.scalar(select(func.count()).where(Request.state.in_(ACTIVE_STATES))) or 0
    if not carried:
        return Estimate(None, waiting, len(workers))
    a_second = sum(cost.requests_per_minute for cost in carried) / 60
    alone = max(cost.latency_s for cost in carried)
    return Estimate(max(alone, (waiting + images) / a_second), waiting, len(workers))


def _cost(measured: Mapping[str, Profile], device_type: str, level: str) -> LevelProfile | None:
    profile = measured.get(device_type)
    return profile.level(level) if profile and level in profile.ids else None
