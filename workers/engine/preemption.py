"""Where requests stood that gave up their place: kept on the host, so that they need not start again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.families import Level
from workers.engine.request import Order
from workers.pipelines.base import Row, Start
from workers.pipelines.samplers import Walk

PARKED_MB = 256.0


@dataclass(frozen=True)
class Parked:
    """The latent, the sampler's state and the cache's share of an unfinished request; its prompt is encoded anew."""

    order: Order
    level: Level
    start: Start
    latent: Tensor
    walk: Walk
    kept: dict[int, Tensor]

    @property
    def megabytes(self) -> float:
        tensors = [self.latent, *self.kept.values(), *self.walk.memory()]
        return sum(tensor.nbytes for tensor in tensors) / 1e6

    def continues(self, order: Order) -> bool:
        """Whether this is the very next attempt at the same request: nobody else had it in between."""
        mine = replace(self.order, attempt=self.order.attempt + 1)
        return replace(mine, deadline=order.deadline, allowed_levels=order.allowed_levels) == order


class Parking:
    """Unfinished requests by id, thread-safe. Above its size the longest parked are let go: they start again."""

    def __init__(self, budget_mb: float = PARKED_MB) -> None:
        self.budget_mb = budget_mb
        self._places: OrderedDict[str, Parked] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, order: Order, level: Level, start: Start, row: Row, kept: Mapping[int, Tensor]) -> None:
        """Keep where a request stands, whose row has just left its batch."""
        row.walk.move(torch.device("cpu"))
        on_host = {k: latent.to("cpu") for k, latent in kept.items()}
        parked = Parked(order, level, replace(start, latent=None), row.latent.to("cpu"), row.walk, on_host)
        with self._lock:
            self._places[order.request_id] = parked
            while sum(place.megabytes for place in self._places.values()) > self.budget_mb:
                self._places.popitem(last=False)

    def take(self, order: Order) -> Parked | None:
        """Where this request goes on; None where it has to start at its beginning. Either way the place is free then."""
        with self._lock:
            parked = self._places.pop(order.request_id, None)
        return parked if parked is not None and parked.continues(order) else None

    def drop(self, request_ids: Iterable[str]) -> None:
        """Forget requests that will not come back here."""
        with self._lock:
            for request_id in request_ids:
                self._places.pop(request_id, None)

    def ids(self) -> list[str]:
        """Who is parked, the longest first."""
        with self._lock:
            return list(self._places)
