"""One request on its way through the engine."""

from __future__ import annotations

import math
import time
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from PIL.Image import Image
from torch import Tensor

from core.families import Level
from workers.engine.preemption import Parked
from workers.engine.request import Order, Outcome, Times
from workers.latent_cache.cache import Hit
from workers.pipelines.base import Adapter, Row, Start


@dataclass(eq=False)
class Ticket:
    """An order, its promise, and what became of it so far.

    It waits for its model, is encoded, waits for a place, runs as a row of a lane, is decoded. Only the thread that
    holds it at the moment changes it; `cancelled` and `wish` are set from outside and read at step boundaries.
    """

    order: Order
    level: Level
    future: Future[Outcome] = field(default_factory=Future)
    times: Times = field(default_factory=lambda: Times(admitted=time.time()))
    leased: Adapter | None = None  # its model, held for it
    fetch: Future[Hit | None] | None = None  # what the cache offers, on its way
    hit: Hit | None = None
    start: Start | None = None
    parked: Parked | None = None  # where an earlier attempt stood
    rows: list[int] = field(default_factory=list)  # how many shared each of its forwards
    keep: frozenset[int] = frozenset()  # the K at which the cache wants its latent
    kept: dict[int, Tensor] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    error: Exception | None = None
    cancelled: bool = False
    parking: bool = False  # cancelled for a while only: where it stands is kept
    wish: Level | None = None  # change of level asked for while running
    _row: Row | None = None

    @property
    def row(self) -> Row:
        assert self._row is not None, "not encoded yet"
        return self._row

    @row.setter
    def row(self, row: Row) -> None:
        self._row = row

    @property
    def adapter(self) -> Adapter:
        assert self.leased is not None, "no model held"
        return self.leased

    @property
    def scheduler(self) -> str:
        """Name of its sampler's class."""
        return type(self.adapter.scheduler).__name__

    @property
    def steps_left(self) -> int:
        """Forwards still to run."""
        return self.row.walk.left

    @property
    def parks(self) -> bool:
        """Whether where it stands is to be kept; features, which it would need as well, are too large for that."""
        return self.parking and self.row.features is None

    @property
    def late(self) -> bool:
        return self.order.deadline is not None and self.order.deadline < time.time()

    @property
    def urgency(self) -> float:
        """Earliest deadline first; what is late goes behind all that can still be in time."""
        if self.order.deadline is None:
            return 1e12
        return self.order.deadline + (2e12 if self.late else 0.0)

    @property
    def seconds_left(self) -> float:
        return math.inf if self.order.deadline is None else self.order.deadline - time.time()

    def mark(self, **moment: float) -> None:
        """Note when something happened: `mark(encoded=time.time())`."""
        self.times = replace(self.times, **moment)

    def forget_features(self) -> None:
        """Let go of what an `fc` level kept from step to step."""
        if self._row is not None and self._row.features is not None:
            self._row.features.forget()

    def because(self, reason: str) -> None:
        """Add to what the record says of it."""
        self.reasons.append(reason)

    def outcome(self, image: Image) -> Outcome:
        """The record of a finished request."""
        assert self.start is not None
        return Outcome(
            request_id=self.order.request_id,
            image=image,
            level_id=self.level.id,
            model_id=self.level.model,
            steps_run=len(self.rows),
            steps_skipped=self.start.skip,
            cache_similarity=self.start.similarity,
            batch_mean=sum(self.rows) / max(1, len(self.rows)),
            batch_max=max(self.rows, default=0),
            times=self.times,
            fetch_s=None if self.hit is None else self.hit.seconds,
            reason="; ".join(dict.fromkeys(self.reasons)) or None,
        )
