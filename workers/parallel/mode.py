"""How the steps of one request are run: by one device, or by several in one of the modes of this folder.

The engine's loop takes a turn with every batch: one forward, one sampler step. A mode is another way to take a turn,
and nothing else of the engine changes: the row is the same, its sampler tells how far it is, and between two turns it
may be cancelled, leave, or go on in another mode. Every rank runs the same program with a row of its own, prepared from
the same request (the seed alone decides the noise); the first rank's latent is the one that is decoded.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch

from core.errors import OutOfRange
from workers.pipelines.rows import Batch


class Mode(Protocol):
    """A way to run a row, made for one run of it: modes keep what they know from turn to turn."""

    def turn(self, batch: Batch) -> None:
        """Take the rows of a batch, all at one step, a step or more further, in place; raises `MemberLost`."""


class Serial:
    """All on one device: what the engine's loop does of itself, and what all others are measured by."""

    def __init__(self, adapter: Any) -> None:
        self.adapter = adapter

    def turn(self, batch: Batch) -> None:
        self.adapter.advance(batch, self.adapter.denoise(batch))


def draw(mode: Mode, batch: Batch) -> torch.Tensor:
    """Run rows to their end; their latents [n, …]."""
    while not batch.rows[0].sampler.done:
        mode.turn(batch)
    return batch.latents


def checked(name: str, value: int, low: int, high: int | None = None) -> int:
    """A whole number within its bounds; raises `OutOfRange`."""
    if value < low or (high is not None and value > high):
        allowed = f"at least {low}" if high is None else f"{low} to {high}"
        raise OutOfRange(f"{name} is {value}, allowed: {allowed}.", field=name)
    return value
