"""A step that the device was asked for and may not have finished: what it tells when it has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from workers.engine.running_batch import RunningBatch
from workers.engine.running_request import RunningRequest
from workers.engine.step_costs import StepCosts
from workers.engine.streams import Mark


@dataclass(frozen=True)
class LaunchedStep:
    """One step of a batch: between which marks it lies, and whether its rows stayed finite.

    `finite` is a copy on the host, complete when `stop` is reached. `clean` steps ran without shortage, in one forward,
    so that their time says what such a step takes.
    """

    batch: RunningBatch
    requests: Sequence[RunningRequest]  # in the order of the rows, then
    start: Mark
    stop: Mark
    finite: Tensor
    clean: bool

    @classmethod
    def of(cls, batch: RunningBatch, start: Mark, clean: bool) -> LaunchedStep:
        """The step just asked for, begun at `start`."""
        finite = batch.finite()
        on_host = finite.to("cpu", non_blocking=True)
        stop = Mark(batch.adapter.device)
        return cls(batch, tuple(batch.requests), start, stop, on_host, clean)

    def wait(self) -> list[RunningRequest]:
        """Wait for its end; answers the requests whose latent went NaN or infinite."""
        self.stop.wait()
        return [request for request, good in zip(self.requests, self.finite.tolist(), strict=True) if not good]

    def measure(self, costs: StepCosts, counts: Counter[str]) -> None:
        """Count it, once it has ended. One that ran out of memory says nothing about others."""
        rows = len(self.requests)
        counts["steps"] += 1
        counts["row_steps"] += rows
        if self.clean:
            costs.observe_step(self.batch.curve_id, rows, self.stop.seconds_since(self.start))
            self.batch.limit.stepped()
