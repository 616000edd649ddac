"""The loop over the running rows (Flover's temporal fusion: requests at different steps share one forward).

::

    submit ─▶ [model held?] ─▶ encoder ─▶ waiting ─▶ admit ┐
                  │                                        ├─ step(): obey · admit · choose · denoise · advance · retire
                loader                      decoder ◀──────┘
                                               └─▶ GenerationResult

Loading, encoding and decoding have a thread each (`stages.py`); batches belong to the loop's thread alone. A request
fails alone: the row at fault is found, and the latents of its neighbours are never touched.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from PIL import Image
from torch import Tensor

from core.errors import Cancelled, EngineError, NotANumber
from workers.engine.batches import RunningBatches
from workers.engine.forward import predict
from workers.engine.level_changes import LevelChanges
from workers.engine.preparation import Preparation
from workers.engine.running_batch import RunningBatch
from workers.engine.running_request import RunningRequest
from workers.engine.stages import Stages


class StepLoop:
    """The rows of one device, a step at a time. `encoded` may be called by any thread, `step` by one.

    Args:
        finish: ends a request, with its image or the error.
    """

    def __init__(
        self,
        batches: RunningBatches,
        preparation: Preparation,
        changes: LevelChanges,
        finish: Callable[[RunningRequest, Image.Image | Exception], None],
        counts: Counter[str],
    ) -> None:
        self.batches, self._preparation, self._changes = batches, preparation, changes
        self.costs, self._counts, self._finish = batches.costs, counts, finish
        self.stages: Stages  # set by the engine: each knows the other
        self._encoded: deque[RunningRequest] = deque()  # not yet seen by the loop
        self._waiting: list[RunningRequest] = []  # encoded, not yet admitted

    def encoded(self, request: RunningRequest) -> None:
        """A request has its row and waits for admission."""
        self._encoded.append(request)

    def step(self) -> bool:
        """One turn; False when there was no row to step."""
        self._obey()
        self._admit()
        batch = self.batches.choose()
        if batch is None:
            return False
        with self._measured(batch):
            predictions = self._denoise(batch)
            self._advance(batch, predictions)
        self._retire(batch)
        return True

    def fail_all(self) -> None:
        """Forget all rows; the engine ends their requests."""
        self.batches.clear()
        self._waiting.clear()
        self._encoded.clear()

    def _obey(self) -> None:
        """Cancellations, preemptions, deadlines and changes of level take effect here: between two steps."""
        self.stages.load_wanted()
        while self._encoded:
            self._waiting.append(self._encoded.popleft())
        self._waiting, ended = _partition(self._waiting)
        for request, error in self.stages.remove_waiting(_partition) + ended:
            self._finish(request, error)
        for batch in self.batches.all():
            step_s = self.batches.step_s(batch, len(batch))
            for index in reversed(range(len(batch))):
                self._obey_row(batch, index, step_s)

    def _obey_row(self, batch: RunningBatch, index: int, step_s: float) -> None:
        request = batch.requests[index]
        if (error := _reason_to_end(request)) is None:
            self._changes.while_running(request, step_s, self.costs.decode_s(request.level.model))
            return
        self.batches.leave(batch, index)
        if request.can_be_kept:
            self._preparation.preempt(request)
            error = Cancelled(f"It ran {len(request.batch_sizes)} steps; {request.steps_left} are left.")
        self._finish(request, error)

    def _admit(self) -> None:
        """Admit those that wait, earliest deadline first, as long as those that run stay in time."""
        for request in sorted(self._waiting, key=lambda request: request.urgency):
            batch = self.batches.for_request(request)
            if self.batches.has_room(batch):
                self._waiting.remove(request)
                step_s = self.batches.step_s(batch, len(batch) + 1)
                self._changes.at_admission(request, step_s, self.costs.decode_s(request.level.model))
                self.batches.join(request, batch)

    def _denoise(self, batch: RunningBatch) -> Tensor:
        """Predictions [n, …] for the batch's n rows, all in one forward unless memory forbids."""
        now = time.time()
        for request in batch.requests:
            if not request.batch_sizes:
                request.mark(started=now)
        predictions = predict(batch, self._counts)
        self.batches.remember_limit(batch)
        return predictions

    def _advance(self, batch: RunningBatch, predictions: Tensor) -> None:
        """Each row takes its own sampler's step; latents that the cache wants are copied."""
        batch.adapter.advance(batch.rows(0, len(batch)), predictions)
        for index, request in enumerate(batch.requests):
            done = request.row.sampler.steps_done
            if done in request.store_at:
                request.latents_to_store[done] = batch.latents[index].to(torch.float16, copy=True)

    def _retire(self, batch: RunningBatch) -> None:
        """Finished rows leave for the decoder, failed ones for good."""
        finite = batch.finite()
        for index in reversed(range(len(batch))):
            request = batch.requests[index]
            if request.error is not None:
                self.batches.leave(batch, index)
                self._finish(request, request.error)
            elif not finite[index]:
                self.batches.leave(batch, index)
                self._not_finite(request)
            elif request.row.sampler.done:
                self.batches.leave(batch, index)
                request.mark(denoised=time.time())
                self.stages.decode(request)

    def _not_finite(self, request: RunningRequest) -> None:
        """NaN or infinity in a latent: where it came from the cache the request runs in full, else it fails."""
        if self._preparation.restart_without_cache(request):
            self._waiting.append(request)
        else:
            self._finish(request, NotANumber("The latent went NaN or infinite; lower the guidance or use float32."))

    @contextmanager
    def _measured(self, batch: RunningBatch) -> Iterator[None]:
        """Time a step to its end on the device. One that ran out of memory says nothing about others."""
        rows, shortages = len(batch), self._counts["out_of_memory"]
        began = time.perf_counter()
        yield
        if batch.adapter.device.type == "cuda":
            torch.cuda.synchronize(batch.adapter.device)
        self._counts["steps"] += 1
        self._counts["row_steps"] += rows
        if shortages == self._counts["out_of_memory"] and rows <= batch.max_rows:
            self.costs.observe_step(batch.curve_id, rows, time.perf_counter() - began)


def _reason_to_end(request: RunningRequest) -> EngineError | None:
    """Why a request is to end now, if so."""
    if not request.cancelled:
        return None
    return Cancelled("Nothing of it is kept; it starts again." if request.preempting else "The request was cancelled.")


def _partition(
    requests: list[RunningRequest],
) -> tuple[list[RunningRequest], list[tuple[RunningRequest, EngineError]]]:
    """Those that stay, and those that end now with the reason. Ended ones are neither."""
    reasons = [(request, _reason_to_end(request)) for request in requests if not request.future.done()]
    staying = [request for request, error in reasons if error is None]
    return staying, [(request, error) for request, error in reasons if error is not None]
