"""Which waiting request a free place is given to, and at which level: the policy's decision, made at the last moment.

A message says that somebody waits in this queue; who that is, the rows say. So the place goes to the most urgent request
that this worker can serve, what can no longer be in time is set aside, and the level is chosen anew among those of the
model held. The policy lives on a floor above: it is plugged in by name, and workers know only its shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import structlog

from core.families import Family
from core.tables import Request
from workers import rows
from workers.rows import Claim, Me

log = structlog.get_logger(__name__)
POLICY = "scheduler.admission:PolicyAdmission"
LOOK = 32  # waiting requests the policy is shown at a time
TRIES = 8  # lost races, or rounds in which all that was shown is set aside


@dataclass(frozen=True)
class Pick:
    """The place in what was shown that starts, its level, and the places set aside."""

    place: int | None = None
    level: str | None = None
    aside: tuple[int, ...] = ()


class Admission(Protocol):
    """Picks among waiting requests (earliest deadline first) for a worker that has a free place beside `running` others.

    `moves` says whether what runs may be moved to a cheaper level on the way: the published baselines do not.
    """

    moves: bool

    def __call__(self, waiting: Sequence[Request], levels: Sequence[str], running: int = 0) -> Pick: ...


class FirstCome:
    """The most urgent, at the level it was routed to."""

    moves = True

    def __call__(self, waiting: Sequence[Request], levels: Sequence[str], running: int = 0) -> Pick:
        return Pick(0 if waiting else None)


first_come = FirstCome()


def plugged_in(family: Family, me: Me, device_type: str) -> Admission:
    """The admission of the policy in force."""
    module, name = POLICY.split(":")
    return getattr(import_module(module), name)(family, me.name, device_type)  # type: ignore[no-any-return]


def claim(family: Family, me: Me, levels: Sequence[str], admission: Admission, running: int = 0) -> Claim | None:
    """Claim the request that the policy gives a place to, beside those `running`; None when nobody waits at these levels who can be in time."""
    for _ in range(TRIES):
        shown = rows.waiting(family, levels, False, LOOK)
        pick = _asked(admission, shown, levels, running)
        if pick.aside:
            rows.set_aside([shown[place].id for place in pick.aside])
        if pick.place is not None:
            claimed = rows.take(shown[pick.place].id, me, family, levels, pick.level)
            if claimed is not None:
                return claimed
        elif not pick.aside:
            break
    return None


def claim_background(family: Family, me: Me, levels: Sequence[str]) -> Claim | None:
    """Claim what fills a worker that has nothing else to do: the set aside first, then batch work."""
    for request in rows.waiting(family, levels, True, TRIES):
        claimed = rows.take(request.id, me, family, levels)
        if claimed is not None:
            return claimed
    return None


def _asked(admission: Admission, shown: Sequence[Request], levels: Sequence[str], running: int) -> Pick:
    """The policy's answer; first come first served when it fails, because a free place must not stay empty."""
    try:
        return admission(shown, levels, running) if shown else Pick()
    except Exception:
        log.exception("admission failed; first come, first served")
        return first_come(shown, levels)
