"""Rows that run together from their first step to their last, without an engine."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workers.engine.request import GenerationRequest
from workers.pipelines.base import Adapter
from workers.pipelines.growing import grow
from workers.pipelines.rows import Batch, Row


@torch.inference_mode()
def final_latents(adapter: Adapter, rows: Sequence[Row], requests: Sequence[GenerationRequest]) -> Tensor:
    """Latents [n, …] at the end of n rows that begin alike, of their requests; where they begin small, they grow."""
    batch = Batch.of(rows)
    while not rows[0].sampler.done:
        adapter.advance(batch, adapter.denoise(batch))
        if rows[0].due_to_grow:
            for row, latent, request in zip(rows, batch.latents, requests, strict=True):
                row.latent = latent
                grow(adapter, row, request)
            batch = Batch.of(rows)
    return batch.latents
