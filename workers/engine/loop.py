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
from collections.abc import Callable
from contextlib import suppress

import torch
from PIL import Image
from torch import Tensor

from core.errors import Cancelled, NotANumber
from workers.engine.batches import RunningBatches
from workers.engine.faults import as_engine_error, is_device_failure, is_out_of_memory, release_memory
from workers.engine.forward import advance, predict, turn_in_mode
from workers.engine.launched_step import LaunchedStep
from workers.engine.level_changes import LevelChanges
from workers.engine.preparation import Preparation
from workers.engine.running_batch import RunningBatch
from workers.engine.running_request import RunningRequest
from workers.engine.stages import Stages
from workers.engine.streams import Mark
from workers.engine.waiting import Waiting


class StepLoop:
    """The rows of one device, a step at a time; `step` belongs to one thread.

    Args:
        finish: ends a request, with its image or the error.
        ahead: steps that the device may be behind. With one, the host prepares the next while the device works.
    """

    def __init__(
        self,
        batches: RunningBatches,
        preparation: Preparation,
        changes: LevelChanges,
        finish: Callable[[RunningRequest, Image.Image | Exception], None],
        counts: Counter[str],
        ahead: int = 0,
    ) -> None:
        self.batches, self._preparation, self._changes = batches, preparation, changes
        self.costs, self._counts, self._finish, self._ahead = batches.costs, counts, finish, ahead
        self.stages: Stages  # set by the engine: each knows the other
        self.waiting = Waiting()
        self._launched: deque[LaunchedStep] = deque()  # asked for, not yet known to have ended

    def step(self) -> bool:
        """One turn; False when there was no row to step."""
        self._obey()
        self._admit()
        batch = self.batches.choose()
        if batch is None:
            self._settle(0)
            return bool(self.waiting) or self.stages.postponed > 0  # what starts again
        start, shortages, whole = Mark(batch.adapter.device), self._counts["out_of_memory"], batch.whole
        self._mark_started(batch)
        in_mode = turn_in_mode(batch, self._counts)
        if not in_mode:
            self._advance(batch, predict(batch, self._counts))
        timed = not in_mode and shortages == self._counts["out_of_memory"]
        self._launched.append(LaunchedStep.of(batch, start, timed, whole and len(batch) <= batch.limit.rows))
        self._retire(batch)
        return True

    def clear(self) -> None:
        """Forget all rows."""
        self.batches.clear()
        self.waiting.clear()
        self._launched.clear()

    def _obey(self) -> None:
        """Cancellations, preemptions, deadlines and changes of level take effect here: between two steps."""
        self.stages.models.load_wanted()
        if not self.batches.running():
            self.stages.retry()
        for request in self.waiting.take_in():
            self._restart_or_fail(request)
        for request in self.stages.models.remove_ended() + self.waiting.remove_ended():
            error = request.reason_to_end or Cancelled("The request was cancelled.")
            self._finish(request, self._preparation.kept(request, error))
        for batch in self.batches.all():
            step_s = self.batches.step_s(batch, len(batch))
            for index in reversed(range(len(batch))):
                self._obey_row(batch, index, step_s)

    def _obey_row(self, batch: RunningBatch, index: int, step_s: float) -> None:
        request = batch.requests[index]
        if (error := request.reason_to_end) is None and request.stands_still:
            self.waiting.add(self.batches.leave(batch, index))
            return
        if error is None:
            self._changes.while_running(request, step_s, self.costs.decode_s(request.level.model))
            return
        self.batches.leave(batch, index)
        self._finish(request, self._preparation.kept(request, error))

    def _admit(self) -> None:
        """Admit those that wait, earliest deadline first, as long as those that run stay in time."""
        for request in self.waiting.by_urgency():
            batch = self.batches.for_request(request)
            if self.batches.has_room(batch):
                self.waiting.remove(request)
                self._join(request, batch)

    def _join(self, request: RunningRequest, batch: RunningBatch) -> None:
        """Out of memory, the request waits until a row leaves; where none runs there is nothing to wait for."""
        step_s = self.batches.step_s(batch, len(batch) + 1)
        try:
            self._changes.at_admission(request, step_s, self.costs.decode_s(request.level.model))
            self.batches.join(request, batch)
        except Exception as error:
            if is_device_failure(error):
                raise
            if not is_out_of_memory(error) or not self.batches.running():
                self._finish(request, as_engine_error(error))
                return
            self._counts["out_of_memory"] += 1
            release_memory()
            batch.limit.shrink(2 * max(1, len(batch)))
            self.waiting.add(request)

    def _mark_started(self, batch: RunningBatch) -> None:
        now = time.time()
        for request in batch.requests:
            if not request.batch_sizes:
                request.mark(started=now)

    def _advance(self, batch: RunningBatch, predictions: Tensor) -> None:
        """Each row takes its own sampler's step; latents that the cache wants are copied."""
        advance(batch, predictions, self._counts)
        for index, request in enumerate(batch.requests):
            done = request.row.sampler.steps_done
            if done in request.store_at and request.error is None:
                with suppress(torch.OutOfMemoryError):  # then the cache does without it
                    request.latents_to_store[done] = batch.latents[index].to(torch.float16, copy=True)

    def _retire(self, batch: RunningBatch) -> None:
        """Failed rows leave for good, finished ones for the decoder, those that grow for another batch."""
        self._settle(self._ahead)
        before = len(batch)
        for index in reversed(range(len(batch))):
            request = batch.requests[index]
            if request.error is not None:
                self.batches.leave(batch, index)
                self._finish(request, request.error)
            elif request.row.due_to_grow:
                self.waiting.add(self._preparation.grow(self.batches.leave(batch, index)))
            elif request.row.sampler.done:
                self.batches.leave(batch, index)
                request.mark(denoised=time.time())
                request.denoised = Mark(batch.adapter.device)
                self.stages.decode(request)
        if len(batch) < before:
            self.stages.retry()

    def _settle(self, ahead: int) -> None:
        """Wait until the device is at most so many steps behind, and take in what the ended ones tell."""
        while len(self._launched) > ahead:
            step = self._launched.popleft()
            for request in step.wait():
                if request in step.batch.requests:  # else it left since, for the decoder, which looks itself
                    self.batches.leave(step.batch, step.batch.requests.index(request))
                    self._restart_or_fail(request)
            step.measure(self.costs, self._counts)

    def _restart_or_fail(self, request: RunningRequest) -> None:
        """NaN or infinity in a latent: where it came from the cache the request runs in full, else it fails."""
        if self._preparation.restart_without_cache(request):
            self.waiting.add(request)
        else:
            error = request.error or NotANumber("The latent went NaN or infinite; lower the guidance or use float32.")
            self._finish(request, error)
