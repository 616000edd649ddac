"""Rows that share forwards: one model, one shape, contiguous memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from workers.engine.running_request import RunningRequest
from workers.pipelines.base import Adapter
from workers.pipelines.rows import Batch, Row, Tensors


@dataclass(eq=False)
class RunningBatch:
    """The running rows of one model and shape. Row i is slice i of every tensor; the tensors grow by doubling.

    `max_rows` is the most rows of one forward; it shrinks when the device runs out of memory. `cached_level` names the
    `fc` level of the rows, which then take a forward each.
    """

    adapter: Adapter
    max_rows: int
    requests: list[RunningRequest] = field(default_factory=list)
    latents: Tensor = field(default_factory=lambda: torch.empty(0))
    conditioning: Tensors = field(default_factory=dict)
    negative: Tensors = field(default_factory=dict)
    cached_level: str | None = None

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def curve_id(self) -> str:
        """The step curve that its steps follow: its model's, or that of an `fc` level."""
        return self.cached_level or self.adapter.model.id

    @property
    def urgency(self) -> float:
        """That of its most urgent row."""
        return min(request.urgency for request in self.requests)

    def join(self, request: RunningRequest) -> None:
        """Add a row behind the last."""
        self._grow(request.row)
        self._write(len(self.requests), request.row)
        self.requests.append(request)

    def leave(self, index: int) -> RunningRequest:
        """Take a row out, its latent with it. The last row moves into its slot."""
        leaving, last = self.requests[index], len(self.requests) - 1
        leaving.row.latent = self.latents[index].clone()
        if index != last:
            for tensor in self._tensors():
                tensor[index] = tensor[last]
            self.requests[index] = self.requests[last]
        self.requests.pop()
        return leaving

    def forwards(self) -> list[tuple[int, int]]:
        """(start, stop) of the forwards that one step takes: one, unless memory or a feature cache forbids."""
        most = 1 if self.cached_level else self.max_rows
        return [(start, min(start + most, len(self))) for start in range(0, len(self), most)]

    def rows(self, start: int, stop: int) -> Batch:
        """A view of some neighbouring rows."""
        return Batch(
            [request.row for request in self.requests[start:stop]],
            self.latents[start:stop],
            {name: tensor[start:stop] for name, tensor in self.conditioning.items()},
            {name: tensor[start:stop] for name, tensor in self.negative.items()},
        )

    def finite(self) -> list[bool]:
        """For each row, whether its latent has neither NaN nor infinity."""
        return torch.isfinite(self.latents[: len(self)]).flatten(1).all(1).tolist()

    def _tensors(self) -> list[Tensor]:
        return [self.latents, *self.conditioning.values(), *self.negative.values()]

    def _grow(self, row: Row) -> None:
        rows = len(self.requests)
        if rows < len(self.latents):
            return
        capacity = max(2 * rows, 2)
        self.latents = _enlarged(self.latents[:rows] if rows else None, row.latent, capacity)
        for name, value in row.conditioning.items():
            for tensors in (self.conditioning, self.negative):
                tensors[name] = _enlarged(tensors[name][:rows] if rows else None, value, capacity)

    def _write(self, index: int, row: Row) -> None:
        self.latents[index] = row.latent
        for name, value in row.conditioning.items():
            self.conditioning[name][index] = value
            self.negative[name][index] = value if row.negative is None else row.negative[name]


def _enlarged(old: Tensor | None, value: Tensor, capacity: int) -> Tensor:
    """A zeroed [capacity, …] tensor of values like `value`, beginning with the old rows."""
    new = torch.zeros((capacity, *value.shape), dtype=value.dtype, device=value.device)
    if old is not None:
        new[: len(old)] = old
    return new
