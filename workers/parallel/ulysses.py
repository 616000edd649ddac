"""Ulysses: a transformer's tokens divided between ranks, attention's heads too (Jacobs et al. 2023, arXiv:2309.14509).

Every rank has N-th of the tokens of text and image. Before each attention an all-to-all gives it all tokens of an N-th
of the heads, and after it another gives them back; nothing is stale, and the image is the serial one to rounding. It
is diffusers' own context parallelism, for the classes that say how their tokens are divided (`_cp_plan`): Flux,
Qwen-Image, Wan and others, not SD3, PixArt or UNets. It speaks to torch.distributed itself, so that its ranks are the
processes of a whole company, never threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import ContextParallelConfig

from core.errors import OutOfRange
from workers.parallel.processes import ProcessRank
from workers.parallel.ranks import Rank
from workers.pipelines.compiling import sharing_weights
from workers.pipelines.rows import Batch


class Ulysses:
    """Takes a turn: one step, of one share of the tokens.

    Raises:
        OutOfRange: diffusers has no plan for this denoiser; several ranks that are no processes.
    """

    def __init__(self, adapter: Any, rank: Rank) -> None:
        if getattr(adapter.denoiser_net, "_cp_plan", None) is None:
            kind = type(adapter.denoiser_net).__name__
            raise OutOfRange(f"ulysses is diffusers' context parallelism, which {kind} has none of.", field="parallel")
        if rank.world > 1 and not isinstance(rank, ProcessRank):
            raise OutOfRange("ulysses runs in processes of torch.distributed, not in threads.", field="parallel")
        net = sharing_weights(adapter.denoiser_net)
        self.adapter = adapter.with_net(net)
        if rank.world > 1:
            with _one_device_at_least():
                net.enable_parallelism(config=ContextParallelConfig(ulysses_degree=rank.world))

    def turn(self, batch: Batch) -> None:
        self.adapter.advance(batch, self.adapter.denoise(batch))


@contextmanager
def _one_device_at_least() -> Iterator[None]:
    """diffusers takes the rank modulo the number of accelerators, of which CPUs have none."""
    counted: Any = torch.accelerator
    before = counted.device_count
    counted.device_count = lambda: max(1, before())
    try:
        yield
    finally:
        counted.device_count = before
