"""At what level a ticket runs: where its loop begins, what is chosen again at its place, what changes on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from core.errors import CacheEntryDamaged
from core.families import Family, Level
from workers.engine.preemption import Parked, Parking
from workers.engine.request import MOVABLE, LateBinding
from workers.engine.running_request import Ticket
from workers.latent_cache.cache import LatentCache
from workers.pipelines.base import Start
from workers.strategies import begin


class Levels:
    """The levels of a family, as one engine runs them."""

    def __init__(self, family: Family, cache: LatentCache | None, late_binding: LateBinding | None) -> None:
        self.family, self.cache, self.late_binding = family, cache, late_binding
        self.parking = Parking()

    def guidance(self, ticket: Ticket, level: Level) -> float:
        """The level's own guidance where it has one, else the request's."""
        return ticket.order.guidance if level.guidance is None else level.guidance

    def prefetch(self, ticket: Ticket) -> None:
        """Start fetching what the cache may offer, while the request waits; one that goes on needs nothing."""
        ticket.parked = self.parking.take(ticket.order)
        if ticket.parked is not None:
            return
        candidates = [ticket.level, *(self.family.level(name) for name in ticket.order.allowed_levels)]
        cached = [level for level in candidates if level.strategy == "ac" and level.model == ticket.level.model]
        if self.cache is not None and cached:
            deepest = max(cached, key=lambda level: level.skip)
            ticket.fetch = self.cache.prefetch(ticket.order, deepest, self.family, ticket.scheduler)

    def prepare(self, ticket: Ticket) -> None:
        """Prompt to conditioning, seed to noise, level to schedule: the ticket has its row."""
        if ticket.parked is not None:
            self._resume(ticket, ticket.parked)
            return
        ticket.hit = None if ticket.fetch is None else ticket.fetch.result()
        try:
            self._prepare(ticket)
        except CacheEntryDamaged as error:
            self._forget(ticket)
            ticket.because(f"{error} Run in full.")
            self._prepare(ticket)

    def _prepare(self, ticket: Ticket) -> None:
        ticket.start = begin(ticket.order, ticket.level, self.family, ticket.hit)
        guidance = self.guidance(ticket, ticket.level)
        ticket.row = ticket.adapter.prepare(ticket.order, ticket.start, guidance)
        if ticket.level.strategy == "fc":
            ticket.row.features = ticket.adapter.keepers[ticket.level.id].of(ticket.order.request_id)
        ticket.keep = self._keep(ticket)
        if ticket.start.note:
            ticket.because(ticket.start.note)

    def _resume(self, ticket: Ticket, parked: Parked) -> None:
        """The row as it was when it gave up its place."""
        ticket.level, ticket.start, ticket.kept = parked.level, parked.start, parked.kept
        parked.walk.move(ticket.adapter.device)
        row = ticket.adapter.prepare(ticket.order, Start(1), self.guidance(ticket, ticket.level))
        ticket.row = replace(row, latent=parked.latent.to(ticket.adapter.device), walk=parked.walk)
        ticket.keep = self._keep(ticket)
        ticket.because(f"resumed with {ticket.steps_left} steps left")

    def bind(self, ticket: Ticket, running: int, step_s: float, after_s: float) -> None:
        """Ask once more for the level, now that the request gets its place among `running` rows."""
        if ticket.parked is not None:
            return
        level = self._bound_late(ticket, running)
        if level is None:
            level, cause = self._demanded(ticket, step_s, after_s, self._steps_of(ticket))
        else:
            cause = "when its turn came"
        if level is None:
            return
        ticket.because(f"{level.id} instead of {ticket.level.id} {cause}")
        ticket.level = level
        self._restart(ticket)

    def _bound_late(self, ticket: Ticket, running: int) -> Level | None:
        """What the hook wishes for, where the order and the model allow it."""
        if self.late_binding is None:
            return None
        left = None if ticket.order.deadline is None else ticket.seconds_left
        wanted = self.late_binding(ticket.order, left, running)
        allowed = ticket.order.allowed_levels
        if wanted is None or wanted == ticket.level.id or (allowed and wanted not in allowed):
            return None
        level = self.family.level(wanted)
        return level if self._fits(ticket, level) else None

    def follow(self, ticket: Ticket, step_s: float, after_s: float) -> None:
        """Move a running request, where its deadline or what is allowed demands it, or somebody asked for it."""
        level, cause, ticket.wish = ticket.wish, "as was asked", None
        if level is None:
            level, cause = self._demanded(ticket, step_s, after_s, self._rest_of(ticket))
        if level is not None:
            self._change(ticket, level, cause)

    def _change(self, ticket: Ticket, level: Level, cause: str) -> None:
        """Go on at another level from here: the shorter schedule's remaining noise levels."""
        before = ticket.steps_left
        if not ticket.row.walk.shorten(self._steps_of(ticket)(level)):
            ticket.because(f"asked to move to {level.id}, which would save nothing")
            return
        after = ticket.steps_left
        ticket.because(
            f"moved from {ticket.level.id} to {level.id} with {before} steps left, {after} run instead, {cause}"
        )
        ticket.level, ticket.keep = level, frozenset()

    def _demanded(
        self, ticket: Ticket, step_s: float, after_s: float, steps_of: Callable[[Level], int | None]
    ) -> tuple[Level | None, str]:
        """The mildest allowed level that is in time, and why, where the request may not stay as it is.

        Args:
            step_s: seconds of a step, now.
            after_s: seconds from the last step to the image.
            steps_of: forwards that a level would still take; None where it can't be moved to.
        """
        allowed, left_s = ticket.order.allowed_levels, ticket.seconds_left - after_s
        late = ticket.steps_left * step_s > left_s
        unoffered = bool(allowed) and ticket.level.id not in allowed
        if left_s <= 0 or not (unoffered or (late and allowed)):
            return None, ""
        cause = f"as {ticket.level.id} is no longer offered" if unoffered else f"to be in time at {step_s:.2g} s a step"
        for level in sorted(self._movable(ticket), key=self._steps_of(ticket), reverse=True):
            steps = steps_of(level)
            if steps is not None and steps < ticket.steps_left and steps * step_s <= left_s:
                return level, cause
        return None, ""

    def _movable(self, ticket: Ticket) -> list[Level]:
        allowed = [self.family.level(name) for name in ticket.order.allowed_levels]
        return [level for level in allowed if level.id != ticket.level.id and self.can_move(ticket, level)]

    def can_move(self, ticket: Ticket, level: Level) -> bool:
        """Whether a request could go on at this level from where it stands: same model, a schedule of its own."""
        return level.strategy in MOVABLE and self._fits(ticket, level)

    def _fits(self, ticket: Ticket, level: Level) -> bool:
        """Whether a row that is prepared can run at this level: neither its lane nor its conditioning change."""
        same = level.model == ticket.level.model and "fc" not in (level.strategy, ticket.level.strategy)
        return same and self.guidance(ticket, level) == self.guidance(ticket, ticket.level)

    def _steps_of(self, ticket: Ticket) -> Callable[[Level], int]:
        return lambda level: level.schedule(ticket.order.steps, self.family.defaults.steps)[0]

    def _rest_of(self, ticket: Ticket) -> Callable[[Level], int | None]:
        return lambda level: ticket.row.walk.left_of(self._steps_of(ticket)(level))

    def without_cache(self, ticket: Ticket) -> bool:
        """Start again in full, when it was a cached latent that went bad; False when it was not."""
        if ticket.hit is None or ticket.start is None or ticket.start.latent is None:
            return False
        self._forget(ticket)
        ticket.because("the cached latent went bad: run in full")
        ticket.rows = []
        self._restart(ticket)
        return True

    def store(self, ticket: Ticket, scheduler: str) -> None:
        """Let the cache have what was set aside of a finished request."""
        if self.cache is not None and ticket.start is not None:
            self.cache.keep(ticket.order, ticket.level, self.family, scheduler, ticket.start.steps, ticket.kept)

    def _forget(self, ticket: Ticket) -> None:
        """Drop the entry that was no good, for all."""
        if self.cache is not None and ticket.hit is not None:
            self.cache.forget(ticket.hit)
        ticket.hit = None

    def _restart(self, ticket: Ticket) -> None:
        """Put an encoded request at the start of its level (again)."""
        ticket.start = begin(ticket.order, ticket.level, self.family, ticket.hit)
        ticket.row.latent, ticket.row.walk = ticket.adapter.place(ticket.order, ticket.start)
        ticket.keep = self._keep(ticket)

    def _keep(self, ticket: Ticket) -> frozenset[int]:
        """The K at which the cache wants this request's latents: those of full runs only."""
        assert ticket.start is not None
        if self.cache is None or ticket.level.strategy not in ("exact", "ac") or ticket.start.skip:
            return frozenset()
        return self.cache.depths(self.family, ticket.level.model, ticket.scheduler, ticket.start.steps)
