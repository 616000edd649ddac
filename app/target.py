"""The latency target as a submission needs it: read once a second, not for each of them."""

from __future__ import annotations

import time

from sqlalchemy.orm import Session

from core.families import Family
from core.settings import settings
from scheduler.observation.target import latency_target_s

KEPT_S = 1.0


class Target:
    """What was read last, and when."""

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], tuple[float, float]] = {}

    def seconds(self, session: Session, family: Family) -> float:
        """Seconds from acceptance to the stored image (`scheduler.observation.target`)."""
        known, now = (family.id, settings().slo_s, settings().slo_factor), time.monotonic()
        kept = self._kept.get(known)
        if kept is None or now > kept[0] + KEPT_S:
            kept = self._kept[known] = (now, latency_target_s(session, family))
        return kept[1]

    def forget(self) -> None:
        """Ask anew."""
        self._kept.clear()


TARGET = Target()
