"""The leader of a gang: it asks idle workers of its host, and draws with those that come."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import SQLAlchemyError

from core import gangs
from core.errors import BadProfile
from core.families import Family
from core.levels import Level
from core.parallel import AUTO, MODES
from core.parallel_profiles import ModeProfile, read_modes
from core.queues import call
from core.requests import Claim
from core.tables import ServiceClass
from core.workers import WorkerIdentity
from scheduler.planning.gangs import RANKS, begins_from_noise, gang_that_pays, most_ranks
from workers.admission import PolicyAdmission
from workers.claims import Claims
from workers.gangs.company import GATHER_S, SILENT_S, Led, company, make_mode
from workers.parallel.lost import MemberLost
from workers.parallel.way import NOBODY, Way, way_alone

if TYPE_CHECKING:
    from workers.engine.engine import Engine
    from workers.parallel.mode import Mode
    from workers.parallel.ranks import Rank
    from workers.pipelines.base import Adapter
    from workers.pipelines.rows import Batch

log = structlog.get_logger(__name__)
LOOK_S = 0.02


class Leading:
    """Finds the way in which a claimed request is drawn."""

    def __init__(
        self, identity: WorkerIdentity, family: Family, engine: Engine, claims: Claims, admission: PolicyAdmission
    ) -> None:
        self.identity, self.family, self.engine, self.claims = identity, family, engine, claims
        self.admission, self.measured = admission, _measured(family.id, admission.device_type)

    def way(self, claimed: Claim, leaving: ExitStack) -> Way | None:
        """How to draw it; None in serial steps, as nothing else was asked for.

        Args:
            leaving: closed when it has been drawn, which dissolves the gang.
        """
        if claimed.request.parallel == AUTO:
            return self._where_it_pays(claimed, leaving)
        alone = way_alone(claimed.request.parallel)
        if alone is None or not MODES[alone.mode].gang:
            return alone
        try:
            why = self._why_not(claimed)
            if why:
                return Way(alone.mode, why_not=why, warm_up=alone.warm_up)
            return self._gathered(claimed, alone.mode, self._idle(claimed), leaving)
        except (MemberLost, SQLAlchemyError, OSError) as error:
            log.warning("no gang", request=str(claimed.request.id), error=str(error).splitlines()[0])
            return Way(alone.mode, why_not="those that were to join did not come", warm_up=alone.warm_up)

    def _where_it_pays(self, claimed: Claim, leaving: ExitStack) -> Way | None:
        """The measured mode that the plan's load leaves room for, with those that come; else serial steps."""
        request = claimed.request
        if not self.measured or request.loras or request.service_class != ServiceClass.INTERACTIVE:
            return None
        try:
            if self._why_not(claimed):
                return None
            steps, _ = self._level(claimed).schedule(request.steps, self.family.defaults.steps)
            idle, load = self._idle(claimed), self.admission.planned_load()
            mode = gang_that_pays(self.measured, self._level(claimed).model, steps, load, len(idle))
            way = self._gathered(claimed, mode.mode, idle[: mode.ranks - 1], leaving) if mode else None
        except (MemberLost, SQLAlchemyError, OSError) as error:
            log.warning("no gang", request=str(request.id), error=str(error).splitlines()[0])
            return None
        return way if way is not None and way.make is not None else None

    def _level(self, claimed: Claim) -> Level:
        return self.family.level(claimed.request.level or self.family.reference)

    def _idle(self, claimed: Claim) -> list[str]:
        return gangs.idle_workers(self.family, self.identity.name, self._level(claimed).model)

    def _why_not(self, claimed: Claim) -> str | None:
        """Why this request is no gang's, or now is no time for one."""
        request, level = claimed.request, self._level(claimed)
        if request.source_id is not None or not begins_from_noise(level.strategies):
            return "other workers do not have the latent that it begins with"
        if str(request.id) in self.engine.preempted():
            return "it goes on where it was preempted"
        if len(self.claims.running) > 1 or gangs.anybody_waits(self.family):
            return "others wait or are drawn at the same time"
        return None

    def _gathered(self, claimed: Claim, mode: str, idle: Sequence[str], leaving: ExitStack) -> Way:
        """With as many of the idle as come, a power of two; alone where nobody does."""
        from workers.parallel.processes import opened

        willing = self._willing(claimed, mode, idle[: RANKS[0] - 1])
        ranks = most_ranks(len(willing))
        warm_up = MODES[mode].warm_up
        if ranks == 1:
            gangs.close(claimed.attempt, [])
            return Way(mode, why_not=NOBODY, warm_up=warm_up)
        self.claims.alone.add(claimed.request.id)  # nobody else begins here until it has ended
        store = opened(ranks, SILENT_S)
        gangs.close(claimed.attempt, willing[: ranks - 1], f"{store.host}:{store.port}")
        rank = leaving.enter_context(company(store, 0, ranks, self.engine.device.startswith("cuda")))
        return Way(mode, partial(_led, mode, rank), ranks=ranks, warm_up=warm_up)

    def _willing(self, claimed: Claim, mode: str, asked: Sequence[str]) -> Sequence[str]:
        """Those that said yes in time."""
        if not asked:
            return ()
        gangs.ask(claimed, self.family, self.identity.name, mode, asked)
        call(asked, "join_gang", attempt=str(claimed.attempt))
        until = time.monotonic() + GATHER_S
        while (gang := gangs.read(claimed.attempt)) is not None:
            answered = len(gang.willing) + len(gang.unwilling)
            if answered == len(asked) or time.monotonic() > until:
                return gang.willing
            time.sleep(LOOK_S)
        return ()


def _measured(family: str, device_type: str) -> tuple[ModeProfile, ...]:
    """The modes that were measured; a damaged file is as none, and costs nobody a worker."""
    try:
        return read_modes(family, device_type)
    except BadProfile as error:
        log.warning("modes are not chosen by what was measured", error=error.message)
        return ()


def _led(name: str, rank: Rank, adapter: Adapter, batch: Batch) -> Mode:
    return Led(make_mode(name, rank, adapter, batch), rank)
