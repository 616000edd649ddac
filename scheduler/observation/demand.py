"""Who wants the devices, and how much: tenants, arrivals by bin, and the forecast that is fed from them.

Apart from the other queries because the forecast needs SciPy, which a web process does without.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from core.families import Family
from core.tables import Request, ServiceClass, State
from scheduler.observation.forecast import Forecast, Forecaster
from scheduler.observation.queries import named_level
from scheduler.policies.fairness import ACTIVE_S

WANTING = text(
    """
SELECT t.name, t.weight, f.sends AS in_front FROM tenant t CROSS JOIN LATERAL (
    SELECT EXISTS (SELECT FROM job j WHERE j.tenant = t.name AND j.service_class = 'interactive'
        AND j.created_at > now() - make_interval(secs => :active))
    OR EXISTS (SELECT FROM request r WHERE r.state = 'accepted' AND r.family = :family AND r.tenant = t.name
        AND r.service_class = 'interactive') AS sends
) f WHERE f.sends
    OR EXISTS (SELECT FROM request r WHERE r.family = :family AND r.tenant = t.name AND r.state = 'queued')
    OR EXISTS (SELECT FROM request r WHERE r.family = :family AND r.tenant = t.name AND r.state = 'running')
"""
)


@dataclass(frozen=True)
class WantingTenant:
    """A tenant that wants the devices; `in_front`: it has sent something with a latency target of late, or such a thing
    waits to be routed."""

    name: str
    weight: float
    in_front: bool


def wanting_tenants(session: Session, family: Family) -> list[WantingTenant]:
    """Tenants of which something waits or runs, or came just now."""
    found = session.execute(WANTING, {"family": family.id, "active": ACTIVE_S})
    return [WantingTenant(row.name, row.weight, row.in_front) for row in found]


def arrivals(
    session: Session, family: Family, bin_s: float, since: float, until: float, several: bool = False
) -> list[int]:
    """Requests accepted in each bin of `bin_s` seconds from Unix time `since` to `until`, both multiples of it.

    Only interactive requests that name no level: those whose level the policy chooses. What a tenant sent beyond its
    share is no demand: while `several` want the devices, what is accepted counts once it was routed within its share.
    """
    place = func.floor((func.extract("epoch", Request.accepted_at) - since) / bin_s)
    query = (
        select(place, func.count())
        .where(Request.family == family.id, Request.service_class == ServiceClass.INTERACTIVE, ~named_level())
        .where(~Request.over_share, *([Request.state != State.ACCEPTED] if several else []))
        .where(Request.accepted_at >= func.to_timestamp(since), Request.accepted_at < func.to_timestamp(until))
        .group_by(place)
    )
    counts = Counter({int(at): count for at, count in session.execute(query)})
    return [counts[at] for at in range(round((until - since) / bin_s))]


class Demand:
    """The forecaster, fed from the rows of requests: at first those of the past `LOOK_BACK_S`, in coarser bins, then
    what is new, second by second.

    `accepted_at` is when a request's transaction began, but its row can be read only after the commit. So the bins of
    the last `LATE_S` seconds are read again, and rows that have been added to them count in the newest bin.
    """

    BIN_S = 1.0
    LOOK_BACK_S, COARSE_S = 3 * 3600.0, 5.0
    LATE_S = 60.0

    def __init__(self, family: Family) -> None:
        self.forecaster = Forecaster()
        self._family = family
        self._until: float | None = None
        self._counted: dict[float, int] = {}  # by the bin's start, those that are read again

    def rate(self, session: Session, several: bool = False) -> float:
        """Requests a second to reckon with, now; whether `several` tenants want the devices."""
        self._catch_up(session, several)
        return self.forecaster.coming

    def ahead(self, session: Session, horizon_s: float, several: bool = False) -> Forecast:
        """Expected arrivals over the coming `horizon_s` seconds, given all arrivals until now."""
        self._catch_up(session, several)
        return self.forecaster.ahead(horizon_s)

    def _catch_up(self, session: Session, several: bool) -> None:
        now = float(session.scalar(select(func.extract("epoch", func.now()))) or 0.0)
        until = now // self.BIN_S * self.BIN_S
        if until == self._until:
            return
        closed = self._look_back(session, until, several) if self._until is None else self._until
        since = max(min(self._counted, default=closed), closed - self.LATE_S)
        counts = arrivals(session, self._family, self.BIN_S, since, until, several)
        bins = {since + place * self.BIN_S: count for place, count in enumerate(counts)}
        late = sum(max(0, count - self._counted.get(start, 0)) for start, count in bins.items() if start < closed)
        for start, count in bins.items():
            if start >= closed:
                self.forecaster.observe(start, self.BIN_S, count + late)
                late = 0
        self._counted = {start: count for start, count in bins.items() if start >= until - self.LATE_S}
        self._until = until

    def _look_back(self, session: Session, now: float, several: bool) -> float:
        """Observe what came before this process began; answers until when."""
        until = (now - self.LATE_S) // self.COARSE_S * self.COARSE_S
        since = until - self.LOOK_BACK_S
        for place, count in enumerate(arrivals(session, self._family, self.COARSE_S, since, until, several)):
            self.forecaster.observe(since + place * self.COARSE_S, self.COARSE_S, count)
        return until
