"""Pictures from measurements, with a text-to-image model as prior: P2L (Chung et al. 2023, arXiv:2310.01110).

At every step of sampling latents z, three minimisations of ‖A·D(ẑ₀) − y‖² take turns:

1. over the text's embedding, a few steps of Adam: the prompt that explains the measurement;
2. over the picture, every few steps: x* = argmin ‖A·x − y‖² + trust·‖x − D(ẑ₀)‖², encoded again, so that ẑ₀ stays in
   the encoder's range;
3. over the latent, one gradient step after the sampler's own (as DPS, Chung et al. 2023, arXiv:2209.14687).

Without the first two it is latent DPS, its rival. Gradients go through denoiser and decoder: rows are never fused with
others, and the price is counted in gradient steps (`Way.gradients`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from core.operators import Operator
from workers.kinds.diffusion import Level, step

# (here, there, ‖A·D(ẑ₀) − y‖ of each row (B,)) → what ∇½‖A·D(ẑ₀) − y‖² is multiplied by, (B,) or a number
Pull = Callable[[Level, Level, Tensor], Tensor | float]
LEAST = 1e-6  # a distance below this counts as this


@dataclass(frozen=True)
class Prior:
    """A latent text-to-image model: ẑ₀ of (latents, time, text embedding), and its autoencoder over −1…1."""

    clean: Callable[[Tensor, float, Tensor], Tensor]
    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]


def published(strength: float) -> Pull:
    """strength·∇‖A·D(ẑ₀) − y‖: a step whose length does not depend on how far off the measurement is (DPS)."""
    return lambda here, there, distance: strength / distance.clamp(min=LEAST)


PULL = published(1.0)
TRUST = 0.01  # noise² over the squared error of a decoded picture


@dataclass(frozen=True)
class Way:
    """How P2L is run.

    Args:
        tuning: steps of Adam on the embedding before each step; 0 keeps the text.
        rate: of Adam, in the embedding's own units.
        pull: of the gradient step on the latent.
        every: steps between two encodings of x*; 0 encodes none, and the answer is the decoder's.
        trust: weight of the decoder's picture against the measurement in x*.
        eta: of the sampler's own step, from 0 to 1.
    """

    tuning: int = 3
    rate: float = 1e-2
    pull: Pull = PULL
    every: int = 3
    trust: float = 0.01
    eta: float = 0.0

    def gradients(self, steps: int) -> int:
        """Backward passes through denoiser and decoder: what a restoration costs."""
        return steps * (self.tuning + 1)


SHORT = Way(tuning=2, rate=0.05, pull=published(6.0), every=2, trust=TRUST, eta=1.0)  # for a dozen steps: requests'


def restore(
    prior: Prior,
    operator: Operator,
    measured: Tensor,
    text: Tensor,
    levels: Sequence[Level],
    noise: Tensor,
    way: Way,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Pictures (B, 3, H, W) that the operator turns into `measured`.

    Args:
        text: embedding (B, …) to start from, of an empty prompt as published, or of one that is known.
        noise: latents (B, …) at the first of `levels`; the last should have no noise left.
    """
    latents = noise
    for number, (here, there) in enumerate(pairwise(levels), 1):
        text = tuned(prior, operator, measured, text, latents, here, way)
        latents = pulled(prior, operator, measured, text, latents, (number, here, there), way, generator)
    with torch.no_grad():
        picture = prior.decode(latents)
        return operator.nearest(measured, picture, way.trust) if way.every else picture


def pulled(
    prior: Prior,
    operator: Operator,
    measured: Tensor,
    text: Tensor,
    latents: Tensor,
    where: tuple[int, Level, Level],
    way: Way,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Latents (B, …) after one step: the sampler's, at times towards the consistent picture, then the gradient's.

    Args:
        where: the number of the step from 1, the level of `latents` and the next one.
    """
    number, here, there = where
    latents = latents.detach().requires_grad_()
    clean = prior.clean(latents, here.time, text)
    picture = prior.decode(clean)
    distance = _distance(operator, picture, measured)
    (gradient,) = torch.autograd.grad(0.5 * distance.square().sum(), latents)
    with torch.no_grad():
        if way.every and number % way.every == 0:
            clean = prior.encode(operator.nearest(measured, picture, way.trust))
        factor = torch.as_tensor(way.pull(here, there, distance)).to(latents)
        return step(latents, clean, here, there, way.eta, generator) - _wide(factor, latents) * gradient


def tuned(
    prior: Prior, operator: Operator, measured: Tensor, text: Tensor, latents: Tensor, here: Level, way: Way
) -> Tensor:
    """The embedding after `way.tuning` steps of Adam on ‖A·D(ẑ₀) − y‖², each row by itself."""
    if way.tuning == 0:
        return text
    text = text.detach().clone().requires_grad_()
    adam = torch.optim.Adam([text], lr=way.rate)
    for _ in range(way.tuning):
        picture = prior.decode(prior.clean(latents.detach(), here.time, text))
        (text.grad,) = torch.autograd.grad(_distance(operator, picture, measured).square().sum(), text)
        adam.step()
    return text.detach()


def _distance(operator: Operator, picture: Tensor, measured: Tensor) -> Tensor:
    """‖A·x − y‖ of each row (B,)."""
    distance: Tensor = torch.linalg.vector_norm(operator.apply(picture) - measured, dim=(1, 2, 3))
    return distance


def _wide(factor: Tensor, like: Tensor) -> Tensor:
    return factor.reshape(-1, *[1] * (like.dim() - 1)) if factor.dim() else factor
