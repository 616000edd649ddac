"""Rows that share forwards: one model, one shape, contiguous memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workers.pipelines.base import Adapter, Batch, Row, Tensors

if TYPE_CHECKING:
    from workers.engine.running_request import Ticket


@dataclass
class Lane:
    """The running rows of one model and shape. Row i is slice i of every tensor; the tensors grow by doubling.

    `limit` is the most rows of one forward; it shrinks when the device runs out of memory. `alone` names the `fc` level
    whose rows each take a forward of their own.
    """

    adapter: Adapter
    limit: int
    tickets: list[Ticket] = field(default_factory=list)
    latents: Tensor = field(default_factory=lambda: torch.empty(0))
    conditioning: Tensors = field(default_factory=dict)
    negative: Tensors = field(default_factory=dict)
    alone: str | None = None

    def __len__(self) -> int:
        return len(self.tickets)

    @property
    def pace(self) -> str:
        """Whose steps its steps cost the same as: the model's, or those of a level alone."""
        return self.alone or self.adapter.model.id

    @property
    def deadline(self) -> float:
        """The earliest of its rows'."""
        return min(ticket.urgency for ticket in self.tickets)

    def join(self, ticket: Ticket) -> None:
        """Add a row behind the last."""
        self._grow(ticket.row)
        self._write(len(self.tickets), ticket.row)
        self.tickets.append(ticket)

    def leave(self, index: int) -> Ticket:
        """Take a row out; the last one moves into the hole. Its final latent stays with it."""
        gone, last = self.tickets[index], len(self.tickets) - 1
        gone.row.latent = self.latents[index].clone()
        if index != last:
            for tensor in self._tensors():
                tensor[index] = tensor[last]
            self.tickets[index] = self.tickets[last]
        self.tickets.pop()
        return gone

    def batches(self) -> list[tuple[int, int]]:
        """(start, stop) of the forwards that one step takes: one, unless memory or features forbid."""
        most = 1 if self.alone else self.limit
        return [(start, min(start + most, len(self))) for start in range(0, len(self), most)]

    def batch(self, start: int, stop: int) -> Batch:
        """A view of some neighbouring rows."""
        return Batch(
            [ticket.row for ticket in self.tickets[start:stop]],
            self.latents[start:stop],
            {name: tensor[start:stop] for name, tensor in self.conditioning.items()},
            {name: tensor[start:stop] for name, tensor in self.negative.items()},
        )

    def finite(self) -> list[bool]:
        """For each row, whether its latent is made of numbers."""
        return torch.isfinite(self.latents[: len(self)]).flatten(1).all(1).tolist()

    def _tensors(self) -> list[Tensor]:
        return [self.latents, *self.conditioning.values(), *self.negative.values()]

    def _grow(self, row: Row) -> None:
        rows = len(self.tickets)
        if rows < len(self.latents):
            return
        room = max(2 * rows, 2)
        self.latents = _enlarged(self.latents[:rows] if rows else None, row.latent, room)
        for name, value in row.conditioning.items():
            for tensors in (self.conditioning, self.negative):
                tensors[name] = _enlarged(tensors[name][:rows] if rows else None, value, room)

    def _write(self, index: int, row: Row) -> None:
        self.latents[index] = row.latent
        for name, value in row.conditioning.items():
            self.conditioning[name][index] = value
            self.negative[name][index] = value if row.negative is None else row.negative[name]


def _enlarged(old: Tensor | None, value: Tensor, room: int) -> Tensor:
    """A zeroed [room, …] tensor of values like `value`, beginning with the old rows."""
    new = torch.zeros((room, *value.shape), dtype=value.dtype, device=value.device)
    if old is not None:
        new[: len(old)] = old
    return new
