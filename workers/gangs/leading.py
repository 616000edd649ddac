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
from core.families import Family
from core.parallel import MODES
from core.queues import call
from core.requests import Claim
from core.workers import WorkerIdentity
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
RANKS = (8, 4, 2, 1)  # what latents and blocks can be cut into
LOOK_S = 0.02
FROM_NOISE = ("exact", "sm", "fs")  # strategies at which the seed says where every rank begins


class Leading:
    """Finds the way in which a claimed request is drawn."""

    def __init__(self, identity: WorkerIdentity, family: Family, engine: Engine, claims: Claims) -> None:
        self.identity, self.family, self.engine, self.claims = identity, family, engine, claims

    def way(self, claimed: Claim, leaving: ExitStack) -> Way | None:
        """How to draw it; None in serial steps, as nothing else was asked for.

        Args:
            leaving: closed when it has been drawn, which dissolves the gang.
        """
        alone = way_alone(claimed.request.parallel)
        if alone is None or not MODES[alone.mode].gang:
            return alone
        try:
            why = self._why_not(claimed)
            return Way(alone.mode, why_not=why, warm_up=alone.warm_up) if why else self._gathered(claimed, leaving)
        except (MemberLost, SQLAlchemyError, OSError) as error:
            log.warning("no gang", request=str(claimed.request.id), error=str(error).splitlines()[0])
            return Way(alone.mode, why_not="those that were to join did not come", warm_up=alone.warm_up)

    def _why_not(self, claimed: Claim) -> str | None:
        """Why this request is no gang's, or now is no time for one."""
        request, level = claimed.request, self.family.level(claimed.request.level or self.family.reference)
        if request.source_id is not None or not set(level.strategies) <= set(FROM_NOISE):
            return "other workers do not have the latent that it begins with"
        if str(request.id) in self.engine.preempted():
            return "it goes on where it was preempted"
        if len(self.claims.running) > 1 or gangs.anybody_waits(self.family):
            return "others wait or are drawn at the same time"
        return None

    def _gathered(self, claimed: Claim, leaving: ExitStack) -> Way:
        """With as many as came, a power of two; alone where nobody did."""
        from workers.parallel.processes import opened

        mode, request = claimed.request.parallel, claimed.request
        model = self.family.level(request.level or self.family.reference).model
        willing = self._willing(claimed, model)
        ranks = next(ranks for ranks in RANKS if ranks <= 1 + len(willing))
        warm_up = MODES[mode].warm_up
        if ranks == 1:
            gangs.close(claimed.attempt, [])
            return Way(mode, why_not=NOBODY, warm_up=warm_up)
        self.claims.alone.add(request.id)  # nobody else begins here until it has ended
        store = opened(ranks, SILENT_S)
        gangs.close(claimed.attempt, willing[: ranks - 1], f"{store.host}:{store.port}")
        rank = leaving.enter_context(company(store, 0, ranks, self.engine.device.startswith("cuda")))
        return Way(mode, partial(_led, mode, rank), ranks=ranks, warm_up=warm_up)

    def _willing(self, claimed: Claim, model: str) -> Sequence[str]:
        """Idle workers that said yes in time."""
        asked = gangs.idle_workers(self.family, self.identity.name, model)[: RANKS[0] - 1]
        if not asked:
            return ()
        gangs.ask(claimed, self.family, self.identity.name, claimed.request.parallel, asked)
        call(asked, "join_gang", attempt=str(claimed.attempt))
        until = time.monotonic() + GATHER_S
        while (gang := gangs.read(claimed.attempt)) is not None:
            answered = len(gang.willing) + len(gang.unwilling)
            if answered == len(asked) or time.monotonic() > until:
                return gang.willing
            time.sleep(LOOK_S)
        return ()


def _led(name: str, rank: Rank, adapter: Adapter, batch: Batch) -> Mode:
    return Led(make_mode(name, rank, adapter, batch), rank)
