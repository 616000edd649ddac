"""The stage of `large`: flow matching with x-prediction over latents that were painted once, at both native sizes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from families.embedded.model import predict_clean
from families.embedded.recipe import data, nets
from families.embedded.recipe.run import Run
from families.embedded.recipe.stage import Stage, say
from families.embedded.sample import Text

DROP_TEXT = 0.1  # share of rows that learn the empty prompt, for guidance
HALF_SIZE = 0.25  # share of batches at the smaller native size
RESUMED = 0.6  # of the learning rate, for a network that has learned already
FLOOR = 0.02  # bounds the weight 1/σ² of the velocity's error
Target = Callable[[Tensor, Tensor, Tensor, Text], Tensor]  # clean latents, noisy ones, noise levels, text


def encode_latents(run: Run) -> None:
    """Paint and encode the pool at both native sizes."""
    assert run.codec is not None
    for side, count in zip(run.sides, (run.plan.pool, run.plan.small_pool), strict=True):
        run.latents[side] = data.encode_pool(run.pool, run.painter, run.codec, side, count, run.rng)
    some = run.latents[run.sides[0]].codes[:2000].float()
    say(f"latents: deviation {float(some.std()):.3f}, largest {float(some.abs().max()):.1f}")


def train(run: Run) -> None:
    """Make, write and keep `large`, from an earlier run's where there is one."""
    torch.manual_seed(5)
    plan = run.plan
    network, rate = nets.unet(plan.large, _codec(run).channels, plan.pixels), plan.large_rate
    if earlier := run.published("large"):
        network, rate = earlier, rate * RESUMED
    say(f"large: {parameters(network)}")
    stage = Stage(
        "large", run.on_device(network), matching_loss(run, plan.batch), run.seconds("large"), rate, plan.batch
    )
    run.publish("large", stage.train(), guided=True)


def matching_loss(
    run: Run, size: int, half_size: float = HALF_SIZE, target: Target | None = None
) -> Callable[[nn.Module], Tensor]:
    """The velocity's squared error under x-prediction, its weight 1/σ² bounded (Li & He 2025, §3).

    Noise levels are logit-normal, leaning to noise (Esser et al. 2024, §3.1).

    Args:
        size: rows of a batch.
        half_size: share of batches at the smaller native size.
        target: what should be predicted in place of the clean latents.
    """
    draw = Draws(run, size, half_size)

    def loss(network: nn.Module) -> Tensor:
        clean, text = draw.batch()
        sigma = torch.sigmoid(0.7 + 1.2 * run.normal(len(clean))).clamp(0.02, 0.999)
        noisy, text = noised(run, clean, sigma), drop_text(run, text)
        wanted = target(clean, noisy, sigma, text) if target else clean
        return weighted_error(predict_clean(network, noisy, sigma, *text), wanted, sigma)

    return loss


class Draws:
    """Batches of clean latents with their text, some of them at the smaller native size."""

    def __init__(self, run: Run, size: int, half_size: float = HALF_SIZE) -> None:
        self.run, self.size, self.half_size = run, size, half_size
        self.chance = random.Random(5)

    def batch(self) -> tuple[Tensor, Text]:
        """Latents (B, C, h, w) in float32 and the prompts' token states."""
        side = self.run.sides[1 if self.chance.random() < self.half_size else 0]
        latents = self.run.latents[side]
        rows = self.run.some(self.size, len(latents))
        return latents.codes[rows].float(), self.run.pool.text(rows)


def noised(run: Run, clean: Tensor, sigma: Tensor) -> Tensor:
    """x_σ = (1 − σ)·x₀ + σ·ε; `sigma` (B,)."""
    level = sigma.view(-1, 1, 1, 1)
    return (1 - level) * clean + level * run.normal(*clean.shape)


def weighted_error(predicted: Tensor, target: Tensor, sigma: Tensor) -> Tensor:
    """Mean squared error of the clean latent, weighted as the velocity's error would be."""
    return ((predicted - target) ** 2 / (sigma.view(-1, 1, 1, 1) ** 2 + FLOOR)).mean()


def drop_text(run: Run, text: Text) -> Text:
    """The batch's text, in one row of ten replaced by the empty prompt."""
    states, mask = text
    dropped = run.uniform(len(mask)) < DROP_TEXT
    return torch.where(dropped[:, None, None], run.empty[0], states), torch.where(dropped[:, None], run.empty[1], mask)


def parameters(network: nn.Module) -> str:
    """How many parameters, for the log."""
    return f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f} M parameters"


def _codec(run: Run) -> Any:
    assert run.codec is not None
    return run.codec
