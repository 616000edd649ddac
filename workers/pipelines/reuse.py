"""What a row of a `cq` level keeps from step to step: its deep features, and the plan of its level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.reuse_plans import Correction, ReusePlan

TIMES_AGREE = 1e-3  # of the model's time, 0 … 1000


class Reuse:
    """The deep features of one row, and the plan of its level.

    `deep` [halves, C, h, w] are those computed last, of the conditional and, where the row is guided, the unconditional
    half; None until the first step. Without a plan the deep part runs at every step. `skipped` steps of the plan lie
    before the row's first: it began with a cached latent.
    """

    def __init__(self, plan: Planned | None = None, skipped: int = 0) -> None:
        self.plan, self.skipped = plan, skipped
        self.deep: Tensor | None = None

    def computes(self, step: int) -> bool:
        """Whether the deep part runs at this step of the row."""
        return self.deep is None or self.plan is None or self.plan.plan.computes(self.skipped + step)

    def corrected(self, half: int, step: int) -> Tensor:
        """Deep features [C, h, w] of one half, as this step of the row would have them."""
        assert self.deep is not None
        assert self.plan is not None
        scale, shift = self.plan.feature
        return self.deep[half] * scale[self.skipped + step] + shift[self.skipped + step]

    def output_corrected(self, output: Tensor, step: int) -> Tensor:
        """What quantised weights answered at this step of the row, as whole ones would have."""
        assert self.plan is not None
        assert self.plan.output is not None
        scale, shift = self.plan.output
        return output * scale[self.skipped + step] + shift[self.skipped + step]


@dataclass(frozen=True)
class Planned:
    """A level's plan with its corrections on the device: (a, b) [T, C, 1, 1] each."""

    plan: ReusePlan
    feature: tuple[Tensor, Tensor]
    output: tuple[Tensor, Tensor] | None

    @classmethod
    def of(cls, plan: ReusePlan, device: torch.device, dtype: torch.dtype) -> Planned:
        def tensors(found: Correction) -> tuple[Tensor, Tensor]:
            both = (torch.tensor(table, dtype=dtype, device=device) for table in (found.scale, found.shift))
            scale, shift = (table[..., None, None] for table in both)
            return scale, shift

        return cls(plan, tensors(plan.feature), tensors(plan.output) if plan.output else None)

    def misfit(self, size: tuple[int, int], steps: int, times: Sequence[float], scheduler: str) -> str | None:
        """Why the plan says nothing of a row of this size, with the last of so many steps' times; None if it does."""
        of = self.plan.of
        if (size, steps) != ((of.width, of.height), of.steps):
            return f"calibrated for {of.steps} steps of {of.width}×{of.height}"
        apart = max(abs(a - b) for a, b in zip(times, self.plan.times[-len(times) :], strict=True))
        if scheduler != of.scheduler or apart > TIMES_AGREE:
            return f"calibrated for another schedule of {of.scheduler}"
        return None
