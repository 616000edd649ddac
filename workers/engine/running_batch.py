"""Rows that share forwards: one model, one shape, contiguous memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from workers.engine.faults import again_with_memory, is_out_of_memory, release_memory
from workers.engine.row_limit import RowLimit
from workers.engine.running_request import RunningRequest
from workers.engine.step_costs import WITH_LORAS
from workers.engine.streams import on_this_stream
from workers.pipelines.base import Adapter
from workers.pipelines.rows import Batch, Row, Tensors


@dataclass(eq=False)
class RunningBatch:
    """The running rows of one model, shape and set of LoRAs. Row i is slice i of every tensor; these
    grow by doubling.

    `limit` says how many rows one forward may have. `cached_level` names the `fc` level of the rows, which then take a
    forward each.
    """

    adapter: Adapter
    limit: RowLimit
    requests: list[RunningRequest] = field(default_factory=list)
    latents: Tensor = field(default_factory=lambda: torch.empty(0))
    conditioning: Tensors = field(default_factory=dict)
    negative: Tensors = field(default_factory=dict)
    cached_level: str | None = None

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def curve_id(self) -> str:
        """The step curve that its steps follow: its model's, with LoRAs or without, or that of an `fc` level."""
        with_loras = WITH_LORAS if self.adapter.strengths is not None else ""
        return self.cached_level or self.adapter.model.id + with_loras

    @property
    def urgency(self) -> float:
        """That of its most urgent row."""
        return min(request.urgency for request in self.requests)

    def join(self, request: RunningRequest) -> None:
        """Add a row behind the last. Where memory does not suffice for it the batch stays as it is, and this raises."""
        self._grow(request.row)
        self._write(len(self.requests), request.row)
        self.requests.append(request)

    def leave(self, index: int) -> RunningRequest:
        """Take a row out, its latent with it. The last row moves into its slot."""
        leaving, last = self.requests[index], len(self.requests) - 1
        leaving.row.latent = again_with_memory(self.latents[index].clone)
        if index != last:
            for tensor in self._tensors():
                tensor[index] = tensor[last]
            self.requests[index] = self.requests[last]
        self.requests.pop()
        return leaving

    def forwards(self) -> list[tuple[int, int]]:
        """(start, stop) of the forwards that one step takes: one, unless memory or a feature cache forbids."""
        most = 1 if self.cached_level else self.limit.rows
        return [(start, min(start + most, len(self))) for start in range(0, len(self), most)]

    def rows(self, start: int, stop: int) -> Batch:
        """A view of some neighbouring rows."""
        return Batch(
            [request.row for request in self.requests[start:stop]],
            self.latents[start:stop],
            {name: tensor[start:stop] for name, tensor in self.conditioning.items()},
            {name: tensor[start:stop] for name, tensor in self.negative.items()},
        )

    @property
    def whole(self) -> bool:
        """Whether all rows run the whole denoiser at their whole size, so that the time says what such a step takes."""
        return all(request.row.computes and request.row.half is None for request in self.requests)

    def finite(self) -> Tensor:
        """For each row [n], whether its latent has neither NaN nor infinity."""
        return torch.isfinite(self.latents[: len(self)]).flatten(1).all(1)

    def _tensors(self) -> list[Tensor]:
        return [self.latents, *self.conditioning.values(), *self.negative.values()]

    def _grow(self, row: Row) -> None:
        rows = len(self.requests)
        if rows < len(self.latents):
            return
        try:
            self._enlarge(row, max(2 * rows, 2))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            release_memory()
            self._enlarge(row, rows + 1)

    def _enlarge(self, row: Row, capacity: int) -> None:
        """All tensors or none."""
        rows = len(self.requests)
        latents = _enlarged(self.latents[:rows] if rows else None, row.latent, capacity)
        conditioning, negative = (
            {n: _enlarged(old[n][:rows] if rows else None, v, capacity) for n, v in row.conditioning.items()}
            for old in (self.conditioning, self.negative)
        )
        self.latents, self.conditioning, self.negative = latents, conditioning, negative

    def _write(self, index: int, row: Row) -> None:
        for tensor, value in self._pairs(row):
            tensor[index] = value
            on_this_stream(value)

    def _pairs(self, row: Row) -> Iterator[tuple[Tensor, Tensor]]:
        """Each tensor of the batch with the row's share of it."""
        yield self.latents, row.latent
        for name, value in row.conditioning.items():
            yield self.conditioning[name], value
            yield self.negative[name], value if row.negative is None else row.negative[name]


def _enlarged(old: Tensor | None, value: Tensor, capacity: int) -> Tensor:
    """A zeroed [capacity, …] tensor of values like `value`, beginning with the old rows."""
    new = torch.zeros((capacity, *value.shape), dtype=value.dtype, device=value.device)
    if old is not None:
        new[: len(old)] = old
    return new
