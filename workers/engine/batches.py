"""The running batches of one device: which of them a request joins, which steps next, how many rows it may have."""

from __future__ import annotations

from typing import Any

from workers.engine.row_limit import RowLimit
from workers.engine.running_batch import RunningBatch
from workers.engine.running_request import RunningRequest
from workers.engine.step_costs import StepCosts

Key = tuple[Any, ...]


class RunningBatches:
    """Batches by model, shape and LoRAs; they take turns."""

    def __init__(self, costs: StepCosts, max_rows: int) -> None:
        self.costs, self.max_rows = costs, max_rows
        self._batches: dict[Key, RunningBatch] = {}
        self._limits: dict[Key, RowLimit] = {}
        self._stepped: set[int] = set()  # ids of the batches that had their turn in this round

    def __len__(self) -> int:
        return len(self._batches)

    def all(self) -> list[RunningBatch]:
        return list(self._batches.values())

    def running(self) -> int:
        """Rows of all batches."""
        return sum(len(batch) for batch in self.all())

    def for_request(self, request: RunningRequest) -> RunningBatch:
        """The batch that a request fits into; a new, empty one where there is none."""
        key = _key(request)
        cached_level = request.level.id if request.row.cache_context else None
        fit = request.adapter.rows_that_fit or self.max_rows
        limit = self._limits.setdefault(_forward(request), RowLimit(self.max_rows, min(fit, self.max_rows)))
        return self._batches.get(key) or RunningBatch(request.adapter, limit, cached_level=cached_level)

    def join(self, request: RunningRequest, batch: RunningBatch) -> None:
        """Add a row."""
        batch.join(request)
        self._batches[_key(request)] = batch

    def leave(self, batch: RunningBatch, index: int) -> RunningRequest:
        """Take a row out; a batch without rows ends."""
        request = batch.leave(index)
        request.clear_cache_context()
        if not len(batch):
            self._batches.pop(_key(request), None)  # all may have been cleared meanwhile
            self._stepped.discard(id(batch))
        return request

    def choose(self) -> RunningBatch | None:
        """The next batch to step: each once a round, the most urgent of a round first."""
        if not self._batches:
            return None
        waiting = [batch for batch in self.all() if id(batch) not in self._stepped]
        if not waiting:
            self._stepped.clear()
            waiting = self.all()
        chosen = min(waiting, key=lambda batch: batch.urgency)
        self._stepped.add(id(chosen))
        return chosen

    def has_room(self, batch: RunningBatch) -> bool:
        """Whether the batch may grow: every row that is in time now stays in time; an empty one always has room."""
        rows = len(batch)
        now_s = self.step_s(batch, max(1, rows))
        in_time = [request for request in batch.requests if request.steps_left * now_s <= request.seconds_left]
        return rows == 0 or any(
            all(request.steps_left * step_s <= request.seconds_left for request in in_time)
            for step_s in (self.step_s(batch, larger) for larger in range(rows + 1, batch.limit.rows + 1))
        )

    def step_s(self, batch: RunningBatch, rows: int) -> float:
        """Seconds between two steps of a batch with so many rows, other batches' turns included; 0 where unknown."""
        turns = len(self._batches) + (not batch.requests)  # a new batch is not yet among them
        return turns * self.costs.step_s(batch.curve_id, rows)

    def clear(self) -> list[RunningRequest]:
        """End all batches; answers whose rows they were."""
        requests = [request for batch in self.all() for request in batch.requests]
        for request in requests:
            request.clear_cache_context()
        self._batches.clear()
        self._stepped.clear()
        return requests


def _key(request: RunningRequest) -> Key:
    """Rows with the same key share a batch. peft has one weight a LoRA for all rows of a forward; a row that was to be
    drawn in a parallel mode is alone."""
    return (*_forward(request), request.request.loras, request.id if request.parallel else None)


def _forward(request: RunningRequest) -> Key:
    """What forwards that take as much memory have in common, LoRAs or not."""
    return (request.level.model, request.row.shape, request.level.id if request.row.cache_context else None)
