"""From request to row: what the cache offers, the prompt encoded, the noise drawn, the sampler at its first step."""

from __future__ import annotations

from core.errors import CacheEntryDamaged, Cancelled
from core.families import Family
from core.levels import Level
from workers.engine.faults import again_with_memory, as_engine_error, is_device_failure
from workers.engine.lora_store import LoraStore
from workers.engine.preemption import PreemptedState, PreemptedStore
from workers.engine.running_request import RunningRequest
from workers.latent_cache.cache import LatentCache
from workers.pipelines.growing import Placed, grow, row_of
from workers.pipelines.reuse import Planned, Reuse
from workers.pipelines.samplers import times_left
from workers.pipelines.source import begun_with
from workers.strategies import begin


def guidance_at(request: RunningRequest, level: Level) -> float:
    """The level's own guidance where it has one, else the request's."""
    return request.request.guidance if level.guidance is None else level.guidance


class Preparation:
    """Makes rows of a family's requests; `preempted` are those that can continue, `loras` what is put on models."""

    def __init__(self, family: Family, cache: LatentCache | None, preempted: PreemptedStore, loras: LoraStore) -> None:
        self.family, self.cache, self.preempted, self.loras = family, cache, preempted, loras

    def prefetch(self, request: RunningRequest) -> None:
        """Start looking for a cached latent while the request waits; one that continues needs none."""
        request.resumed_from = self.preempted.take(request.request)
        if request.resumed_from is not None or request.request.source is not None:
            return
        candidates = [request.level, *map(self.family.level, request.request.allowed_levels)]
        cached = [level for level in candidates if level.looks_up and level.model == request.level.model]
        if self.cache is not None and cached:
            deepest = max(cached, key=lambda level: level.skip)
            request.fetch = self.cache.prefetch(request.request, deepest, self.family, request.sampler_name)

    def encode(self, request: RunningRequest) -> None:
        """Prompt to conditioning."""
        level = request.resumed_from.level if request.resumed_from else request.level
        request.encoded = request.adapter.encode(request.request, guidance_at(request, level))
        if (kind := request.request.kind) is not None and (hook := kind.hook(request.adapter, request.size)):
            request.on_x0 = hook
        if window := request.adapter.prompt_window():
            prompt, negative = window.truncated([request.request.prompt, request.request.negative_prompt])
            request.truncated_tokens = (prompt, negative)

    def place(self, request: RunningRequest) -> None:
        """Seed to noise, level to schedule, or the state to continue from: afterwards the request has its row.

        What the cache offers is known by now: `fetch` is done.
        """
        if request.resumed_from is not None:
            self._resume(request, request.resumed_from)
            return
        request.hit = None if request.fetch is None else request.fetch.result()
        try:
            self._place(request)
        except CacheEntryDamaged as error:
            self._forget_hit(request)
            request.add_reason(f"{error} Run in full.")
            self._place(request)

    def restart(self, request: RunningRequest) -> None:
        """Put an encoded request at the first step of its level (again)."""
        request.start = begin(request.request, request.level, self.family, request.hit)
        if request.request.source is not None:
            request.start = begun_with(request.start, request.request.source, request.adapter)
        self._set_row(request, request.adapter.place(request.request, request.start))
        self._plan_reuse(request)

    def restart_without_cache(self, request: RunningRequest) -> bool:
        """Start again in full where a cached latent turned into NaN; False where none was used."""
        if request.hit is None or request.start is None or request.start.latent is None:
            return False
        self._forget_hit(request)
        request.add_reason("the cached latent was unusable: run in full")
        if request.parallel is not None:
            request.parallel.end("the cached latent was unusable")
        request.batch_sizes, request.steps_timed = [], []
        self.restart(request)
        return True

    def grow(self, request: RunningRequest) -> RunningRequest:
        """The request, whose row has left its batch, with the latent of its whole size; where that fails it has an
        error, with which it ends as rows do whose step fails."""
        try:
            again_with_memory(lambda: grow(request.adapter, request.row, request.request))
        except Exception as error:
            if is_device_failure(error):
                raise
            request.error = as_engine_error(error)
        return request

    def store(self, request: RunningRequest, sampler_name: str) -> None:
        """Give the cache the latents of a finished request."""
        if self.cache is not None and request.start is not None:
            latents, steps = request.latents_to_store, request.start.steps
            self.cache.store(request.request, request.level, self.family, sampler_name, steps, latents)

    def kept(self, request: RunningRequest, error: Cancelled) -> Cancelled:
        """What a request ends with that is in no batch any more: one that was preempted leaves its state."""
        if not request.can_be_kept:
            return error
        self.preempted.put(request.request, request.level, request.begun, request.row, request.latents_to_store)
        return Cancelled(f"It ran {len(request.batch_sizes)} steps; {request.steps_left} are left.")

    def _place(self, request: RunningRequest) -> None:
        self.restart(request)
        if "fc" in request.level.strategies:
            request.row.cache_context = request.adapter.feature_caches[request.level.id].context(request.id)
        if request.begun.note:
            request.add_reason(request.begun.note)

    def _resume(self, request: RunningRequest, state: PreemptedState) -> None:
        """The row as it was when the request was preempted."""
        request.level, request.start = state.level, state.start
        request.latents_to_store = state.latents_to_store
        state.sampler.move_to(request.adapter.device)
        kept = None if request.request.source is None else request.adapter.place(request.request, state.start).kept
        latent = state.latent.to(request.adapter.device)
        self._set_row(request, Placed(latent, state.sampler, state.half, kept))
        plan = request.adapter.reuse_plans.get(request.level.id)
        if state.deep is not None and plan is not None:
            request.row.reuse = Reuse(plan, state.start.skip)
            request.row.reuse.deep = state.deep.to(request.adapter.device)
        request.add_reason(f"resumed with {request.steps_left} steps left")

    def _plan_reuse(self, request: RunningRequest) -> None:
        """The plan of a `cq` level for a request at its first step; it runs in full where the plan is of another."""
        request.row.reuse = None
        if "cq" not in request.level.strategies:
            return
        plan = request.adapter.reuse_plans.get(request.level.id)
        why = _misfit(request, plan) if plan else "without its calibration"
        if why:
            request.add_reason(f"{request.level.id} is {why}: run in full")
        else:
            request.row.reuse = Reuse(plan, request.begun.skip)

    def _set_row(self, request: RunningRequest, begun: Placed) -> None:
        assert request.encoded is not None
        guidance = guidance_at(request, request.level)
        request.row = row_of(request.adapter, request.request, request.encoded, guidance, begun)
        request.store_at = self._store_at(request)

    def _forget_hit(self, request: RunningRequest) -> None:
        """Drop the cache's entry, for every request."""
        if self.cache is not None and request.hit is not None:
            self.cache.forget(request.hit)
        request.hit = None

    def _store_at(self, request: RunningRequest) -> frozenset[int]:
        """The steps after which the cache wants this request's latent: of full, serial runs of its prompt only."""
        assert request.start is not None
        if request.parallel is not None or request.request.kind is not None:
            return frozenset()
        from_noise = request.request.source is None and not request.start.skip
        if self.cache is None or request.level.strategy not in ("exact", "ac") or not from_noise:
            return frozenset()
        return self.cache.depths(self.family, request.level.model, request.sampler_name, request.start.steps)


def _misfit(request: RunningRequest, plan: Planned) -> str | None:
    """Why a plan says nothing of a request at its first step; None where it fits."""
    times = times_left(request.row.sampler)
    return plan.misfit(request.row.size, request.begun.steps, times, request.sampler_name)
