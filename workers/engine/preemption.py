"""The state of preempted requests, kept on the host so that they continue instead of starting again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.levels import Level
from workers.engine.request import GenerationRequest
from workers.pipelines.half_size import HalfSize
from workers.pipelines.rows import Row, Start
from workers.pipelines.samplers import SamplerState

BUDGET_MB = 256.0


@dataclass(frozen=True)
class PreemptedState:
    """Latent, sampler state, features and latents to store of an unfinished request. Its prompt is encoded again."""

    request: GenerationRequest
    level: Level
    start: Start
    latent: Tensor
    sampler: SamplerState
    latents_to_store: dict[int, Tensor]
    deep: Tensor | None = None  # features of a `cq` level
    half: HalfSize | None = None  # where the latent still has half the size

    @property
    def megabytes(self) -> float:
        tensors = [self.latent, *self.latents_to_store.values(), *self.sampler.history()]
        tensors += [] if self.deep is None else [self.deep]
        return sum(tensor.nbytes for tensor in tensors) / 1e6

    def continues(self, request: GenerationRequest) -> bool:
        """Whether this is the very next attempt at the same request: no other worker had it in between."""
        next_attempt = replace(self.request, attempt=self.request.attempt + 1)
        same = replace(next_attempt, deadline=request.deadline, allowed_levels=request.allowed_levels)
        return same == request


class PreemptedStore:
    """States by request id, thread-safe. Above the budget the oldest are dropped; those requests start again."""

    def __init__(self, budget_mb: float = BUDGET_MB) -> None:
        self.budget_mb = budget_mb
        self._states: OrderedDict[str, PreemptedState] = OrderedDict()
        self._lock = threading.Lock()

    def put(
        self, request: GenerationRequest, level: Level, start: Start, row: Row, latents_to_store: Mapping[int, Tensor]
    ) -> None:
        """Keep the state of a request whose row has just left its batch."""
        row.sampler.move_to(torch.device("cpu"))
        on_host = {k: latent.to("cpu") for k, latent in latents_to_store.items()}
        start = replace(start, latent=None)
        deep = None if row.reuse is None or row.reuse.deep is None else row.reuse.deep.to("cpu")
        state = PreemptedState(request, level, start, row.latent.to("cpu"), row.sampler, on_host, deep, row.half)
        with self._lock:
            self._states[request.request_id] = state
            while sum(kept.megabytes for kept in self._states.values()) > self.budget_mb:
                self._states.popitem(last=False)

    def take(self, request: GenerationRequest) -> PreemptedState | None:
        """The state to continue from, None to start at the beginning. Either way nothing is kept any more."""
        with self._lock:
            state = self._states.pop(request.request_id, None)
        return state if state is not None and state.continues(request) else None

    def discard(self, request_ids: Iterable[str]) -> None:
        """Drop the states of requests that will not come back here."""
        with self._lock:
            for request_id in request_ids:
                self._states.pop(request_id, None)

    def ids(self) -> list[str]:
        """Ids of the requests whose state is kept, the oldest first."""
        with self._lock:
            return list(self._states)
