"""Large holes, filled from what is certain outwards: SDM (Li et al. 2022, arXiv:2212.02963; since its second version
PSM, the pixel spread model).

A network says of every unknown pixel what it would be (mean) and how sure that is (deviation). The surest share is
kept, and the network is asked again with more pixels known; a few rounds fill the hole. Of the schedules of that share
its authors find the even one best (a `rounds`-th of the hole a round).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# (picture, certain, uncertainty, round from 0 to 1) → (mean, deviation)
Predictor = Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]
UNKNOWN = 1.0  # uncertainty of a pixel of which nothing is known


@torch.no_grad()
def fill(
    predict: Predictor,
    picture: Tensor,
    known: Tensor,
    rounds: int = 4,
    spread: float = 0.01,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The picture (B, C, H, W) with its hole filled; what is known (B, 1, H, W, boolean) stays as it is.

    Args:
        predict: sees the picture, zero where nothing is certain, which pixels are certain (B, 1, H, W), the uncertainty
            of each (0 where known, what was predicted where filled, 1 elsewhere) and the share of rounds done; answers
            mean and deviation (B, C, H, W), deviation in 0…1.
        rounds: at least 1.
        spread: pixels are drawn with so many deviations around their mean, in the last round with none; 1 draws each
            from the predicted distribution, 0.01 is its authors' choice.
    """
    picture, certain = picture * known, known
    uncertainty = torch.where(known, 0.0, UNKNOWN).to(picture)
    certainly, hole = known.flatten(1).sum(1), (~known).flatten(1).sum(1)
    for number in range(rounds):
        mean, deviation = predict(picture, certain, uncertainty, number / rounds)
        doubt = deviation.mean(1, keepdim=True)
        wanted = certainly + -(-hole * (number + 1) // rounds)  # rounded up
        surest = _surest(doubt.masked_fill(certain, -1.0), wanted)
        fresh = surest & ~certain
        noise = 0.0 if number + 1 == rounds else spread
        value = mean + noise * deviation * torch.empty_like(mean).normal_(generator=generator)
        picture = torch.where(fresh, value, picture)
        uncertainty = torch.where(fresh, doubt, uncertainty)
        certain = certain | fresh
    return picture


def _surest(doubt: Tensor, wanted: Tensor) -> Tensor:
    """The `wanted` (B,) pixels of least doubt (B, 1, H, W) of each row."""
    order = doubt.flatten(1).argsort(dim=1, stable=True)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, places)
    return (rank < wanted[:, None]).view_as(doubt)
