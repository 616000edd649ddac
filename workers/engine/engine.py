"""The step executor of one device: what is asked of it from outside. The loop itself is `loop.py`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import torch
from PIL import Image

from core.errors import DeviceFailed, EngineError
from core.families import Family, Model
from core.step_curve import StepCurve
from workers.engine import stats
from workers.engine.batches import RunningBatches
from workers.engine.failures import Failures
from workers.engine.level_changes import LevelChanges
from workers.engine.loading import ModelLoader
from workers.engine.loop import StepLoop
from workers.engine.loop_thread import LoopThread
from workers.engine.lora_store import LoraStore
from workers.engine.model_pool import ModelPool, PooledModel
from workers.engine.preemption import PreemptedStore
from workers.engine.preparation import Preparation
from workers.engine.registry import Registry
from workers.engine.request import GenerationRequest, GenerationResult
from workers.engine.running_batch import RunningBatch
from workers.engine.running_request import RunningRequest
from workers.engine.stages import Stages
from workers.engine.step_costs import StepCosts
from workers.latent_cache.cache import LatentCache
from workers.pipelines.base import Adapter
from workers.pipelines.fastest_forward import Ways


class Engine:
    """Runs the requests of one family on one device.

    Args:
        family: whose models and levels are served.
        device: torch device, e.g. `cpu` or `cuda:0`.
        dtype: of the denoisers; None is float32 on the CPU and bfloat16 on CUDA.
        max_batch: most rows of one forward.
        memory_budget_mb: most weights held; 0 for no limit.
        cache: latents of earlier requests, for `ac` levels; None runs those in full.
        curves: step curves by model or `fc` level, from the profile; corrected as steps are measured.
        load, expected_mb: make an adapter of a model, and say what it will take; tests give their own.
        ways, loras: as `ModelLoader` and `LoraStore` have them.
        preempted: where the state of preempted requests is kept.
        steps_ahead: steps that the device may be behind the loop; None is one on CUDA and none on the CPU.
        on_device_failure: called once when the device can't be used any more, after all requests have ended.
        threaded: False does everything inside `submit` and `step`.
    """

    def __init__(
        self,
        family: Family,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        max_batch: int = 8,
        memory_budget_mb: float = 0,
        cache: LatentCache | None = None,
        *,
        curves: Mapping[str, StepCurve] | None = None,
        load: Callable[[Model], Adapter] | None = None,
        expected_mb: Callable[[Model], float] | None = None,
        ways: Ways | None = None,
        preempted: PreemptedStore | None = None,
        steps_ahead: int | None = None,
        loras: LoraStore | None = None,
        on_device_failure: Callable[[Exception], object] = lambda error: None,
        threaded: bool = True,
    ) -> None:
        loader = ModelLoader(family, device, dtype, max_batch, ways)
        self.family, self.device, self.dtype, self.max_batch = family, device, loader.dtype, max_batch
        self.cache, self.preempted_store = cache, preempted or PreemptedStore()
        self.costs = StepCosts(curves)
        self.pool = ModelPool(family, load or loader.load, expected_mb or loader.expected_mb, memory_budget_mb)
        preparation = Preparation(family, cache, self.preempted_store, loras or LoraStore(family))
        self._registry = Registry(self._finished)
        self._batches = RunningBatches(self.costs, max_batch)
        changes, finish = LevelChanges(family, preparation), self._registry.finish
        ahead = int(device.startswith("cuda")) if steps_ahead is None else steps_ahead
        self._loop = StepLoop(self._batches, preparation, changes, finish, self._registry.counts, ahead)
        self._failures = Failures(self._registry, self._loop, on_device_failure)
        self._thread = LoopThread(self.step, self._failures.in_loop)
        waiting, wake = self._loop.waiting, self._thread.wake
        self._stages = self._loop.stages = Stages(preparation, self.pool, device, waiting, wake, finish, threaded)

    def submit(self, request: GenerationRequest) -> Future[GenerationResult]:
        """Take a request in. The future ends with a `GenerationResult`, or an `EngineError` that says why not.

        A request that is already here does not run twice: its future is answered again.
        """
        running, new = self._registry.open(request)
        if new and self._failures.device is not None:
            self._registry.finish(running, self._failures.refusal())
        elif new and self._thread.stopping:
            self._registry.finish(running, EngineError("The engine is stopping; the request goes back to its queue."))
        elif new:
            self._stages.enter(running)
            self._thread.wake()
        return running.future

    def cancel(self, request_id: str) -> bool:
        """End a request before the next step; False where it is not here."""
        return self._change(request_id, cancelled=True)

    def preempt(self, request_id: str) -> bool:
        """`cancel`, but keep the request's state: its next attempt continues from there."""
        return self._change(request_id, preempting=True, cancelled=True)

    def preempted(self) -> list[str]:
        """Ids of the requests whose state is kept."""
        return self.preempted_store.ids()

    def hold(self, request_id: str, held: bool = True) -> bool:
        """Let a request stand still from the next step on, or go on; its latent stays on the device."""
        return self._change(request_id, held=held)

    def allow(self, request_id: str, levels: tuple[str, ...]) -> bool:
        """Change the levels that an open request may be moved to; where its own is not among them it moves."""
        running = self._registry.find(request_id)
        return running is not None and self._change(request_id, request=replace(running.request, allowed_levels=levels))

    def load(self, model_id: str) -> PooledModel:
        """Hold a model; waits until there is room for it and it is loaded and warm."""
        return self._stages.models.load(model_id)

    def preload(self) -> None:
        """Begin to load one more small model, where there is room for it; returns at once."""
        self._stages.models.preload()

    def loaded(self) -> list[str]:
        """Ids of the models held, most recently used first."""
        return list(self.pool.held())

    def find(self, request_id: str) -> RunningRequest | None:
        """An open request."""
        return self._registry.find(request_id)

    def batches(self) -> list[RunningBatch]:
        """What runs."""
        return self._batches.all()

    def step(self) -> bool:
        """One turn of the loop, for those who do not `start` it; False when there was nothing to do."""
        return self._loop.step()

    def start(self) -> None:
        """Run the loop in a thread of its own."""
        self._thread.start()

    def stop(self, drain_s: float = 0.0) -> None:
        """End the loop for good; what is still open after `drain_s` seconds fails with a reason."""
        until = time.monotonic() + drain_s
        while len(self._registry) and self._thread.running and time.monotonic() < until:
            time.sleep(0.05)
        self._thread.stop()
        self._stages.close()
        self._failures.end_all(EngineError("The engine was stopped; the request can run on another worker."))

    def stats(self) -> dict[str, Any]:
        """Counters and measurements since the start, for records and dashboards."""
        return stats.of(self._registry, self._batches, self.pool, self.costs, self.preempted_store, self.cache)

    def _change(self, request_id: str, **changes: Any) -> bool:
        """Set fields of an open request, which the loop reads before its next step."""
        running = self._registry.find(request_id)
        if running is None:
            return False
        for name, value in changes.items():
            setattr(running, name, value)
        self._thread.wake()
        return True

    def _finished(self, running: RunningRequest, end: Image.Image | Exception) -> None:
        """A request ended: its model is needed less, and the loop may have room."""
        if running.leased is not None:
            self.pool.release(running.level.model)
        if isinstance(end, DeviceFailed):
            self._failures.of_device(end)
        elif not isinstance(end, Exception):
            self.costs.observe_decode(running.level.model, running.times.decoded - running.times.denoised)
        self._thread.wake()
