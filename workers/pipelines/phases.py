"""Rows that reuse deep features (`cq` levels) in one batch with all others.

Each row is at its own phase of its level's plan. Within a step the rows that compute their deep part, those of other
levels among them, share one whole forward; those that reuse theirs share one shallow forward. What a row keeps is its
own: it may leave the batch, stand still, or be preempted between any two steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from core.errors import BadFamily
from core.levels import Level
from workers.pipelines.rows import Batch, Row, to_device
from workers.pipelines.split_unet import ShallowUNet, capturing, in_layout_of, is_splittable


class SplitDenoiser:
    """An adapter's denoiser in two parts. Recorded and compiled forwards keep no features: both parts run as they are.

    Raises:
        BadFamily: the denoiser is no UNet that can be split.
    """

    def __init__(self, adapter: Any, level: Level) -> None:
        self.net = adapter.denoiser_net
        if not is_splittable(self.net):
            raise BadFamily(
                f"Level {level.id!r} reuses deep features (strategy cq), which the denoiser of model {level.model!r} "
                f"(pipeline {adapter.model.pipeline!r}) has none of: it is no UNet. Take the level out.",
                field=f"levels.{level.id}",
            )
        self.shallow_net = ShallowUNet(self.net)
        self.whole, self.shallow = adapter.with_net(self.net), adapter.with_net(self.shallow_net)

    def compute(self, batch: Batch) -> Tensor:
        """Outputs [m, …] of a whole forward for the halves of n rows; those that reuse keep their deep features."""
        with capturing(self.net) as captured:
            out: Tensor = self.whole.predict(*batch.halves())
        (deep,) = captured
        guided = batch.guided
        for i, row in enumerate(batch.rows):
            if row.reuse is not None:
                own = [i, len(batch.rows) + guided.index(i)] if row.negative is not None else [i]
                row.reuse.deep = torch.stack([deep[half] for half in own])
        return out

    def reuse(self, batch: Batch) -> Tensor:
        """Outputs [m, …] of a shallow forward over the corrected features of n rows that all reuse theirs."""
        halves = [(row, 0) for row in batch.rows] + [(batch.rows[i], 1) for i in batch.guided]
        return self.over(batch, [row.reuse.corrected(half, row.sampler.index) for row, half in halves if row.reuse])

    def over(self, batch: Batch, deep: Sequence[Tensor]) -> Tensor:
        """Outputs [m, …] of a shallow forward for the halves of n rows, over these features [C, h, w], m of them."""
        self.shallow_net.deep = in_layout_of(torch.stack(list(deep)), self.net)
        out: Tensor = self.shallow.predict(*batch.halves())
        self.shallow_net.deep = None
        return out


def denoise_by_phase(adapter: Any, batch: Batch) -> Tensor:
    """Guided predictions [n, …] of a batch where some rows reuse: at most one whole and one shallow forward."""
    split, answers = adapter.split, torch.empty_like(batch.latents)
    computing = [i for i, row in enumerate(batch.rows) if row.computes]
    reusing = [i for i, row in enumerate(batch.rows) if not row.computes]
    for chosen, forward in ((computing, split.compute), (reusing, split.reuse)):
        if chosen:
            part = batch if len(chosen) == len(batch.rows) else batch.select(chosen)
            prediction = part.combined(_with_output_corrected(part, forward(part))).to(answers.dtype)
            answers.index_copy_(0, to_device(torch.tensor(chosen), answers.device), prediction)
    adapter.forwards += bool(computing)
    adapter.shallow_forwards += bool(reusing)
    return answers


def _with_output_corrected(batch: Batch, out: Tensor) -> Tensor:
    """Outputs [m, …] of the halves, those of quantised rows corrected by channel."""
    rows: Sequence[Row] = [*batch.rows, *(batch.rows[i] for i in batch.guided)]
    for i, row in enumerate(rows):
        if row.reuse is not None and row.reuse.plan is not None and row.reuse.plan.output is not None:
            out[i] = row.reuse.output_corrected(out[i], row.sampler.index)
    return out
