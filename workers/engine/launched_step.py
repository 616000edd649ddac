"""A step that the device was asked for and may not have finished: what it tells when it has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from workers.engine.running_batch import RunningBatch
from workers.engine.running_request import RunningRequest, StepTime
from workers.engine.step_costs import StepCosts
from workers.engine.streams import Mark


@dataclass(frozen=True)
class LaunchedStep:
    """One step of a batch: between which marks it lies, and whether its rows stayed finite.

    `finite` is a copy on the host, complete when `stop` is reached. `forwards` is how many it took, one after the
    other; 0 where their time says nothing (out of memory, a turn of a mode). `whole` steps ran the whole denoiser in as
    many forwards as their curve has, so that they say what such a step takes.
    """

    batch: RunningBatch
    requests: Sequence[RunningRequest]  # in the order of the rows, then
    start: Mark
    stop: Mark
    finite: Tensor
    forwards: int
    whole: bool

    @classmethod
    def of(cls, batch: RunningBatch, start: Mark, timed: bool, whole: bool) -> LaunchedStep:
        """The step just asked for, begun at `start`."""
        forwards = len(batch.forwards()) if timed else 0
        finite = batch.finite()
        on_host = finite.to("cpu", non_blocking=True)
        stop = Mark(batch.adapter.device)
        return cls(batch, tuple(batch.requests), start, stop, on_host, forwards, whole)

    def wait(self) -> list[RunningRequest]:
        """Wait for its end; answers the requests whose latent went NaN or infinite."""
        self.stop.wait()
        return [request for request, good in zip(self.requests, self.finite.tolist(), strict=True) if not good]

    def measure(self, costs: StepCosts, counts: Counter[str]) -> None:
        """Count it, once it has ended, and what it took."""
        rows = len(self.requests)
        counts["steps"] += 1
        counts["row_steps"] += rows
        if not self.forwards:
            return
        seconds, worked = self.stop.seconds_since(self.start), self.stop.worked_since(self.start)
        for request in self.requests:
            request.steps_timed.append(StepTime(seconds / self.forwards, worked / self.forwards, worked / rows))
        if self.whole:
            costs.observe_step(self.batch.curve_id, rows, seconds)
            self.batch.limit.stepped()
