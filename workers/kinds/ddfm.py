"""Two pictures of one scene in one, e.g. infrared and visible: DDFM (Zhao et al. 2023, arXiv:2303.06840). No training.

An unconditional model draws; at every step its predicted clean picture is corrected towards both sources by one round
of expectation and maximisation. The correction's model: with x = fused − visible and y = infrared − visible,

    minimise |y − x|₁ + |x|₁ + smooth·‖∇x‖²,

both absolute values as Laplace priors, written as Gaussians of exponentially distributed variance, so that each round
is a weighted least-squares problem. What is fused is luminance: infrared has no colour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fft import irfft2, rfft2

from core.errors import BadInput
from core.fidelity import luminance

Codec = Callable[[Tensor], Tensor]
NONE = 1e-6  # a squared difference below this counts as this


@dataclass(frozen=True)
class Scales:
    """γ and ρ (B, 1, 1, 1): the mean variances of y − x and of x, estimated along the way."""

    infrared: Tensor
    visible: Tensor


@dataclass(frozen=True)
class Pair:
    """Two luminances (B, 1, H, W) of the same scenes, in −1…1.

    Args:
        smooth: weight ψ of the squared gradient of x; 0 leaves it out.
        coupling: weight η of the half-quadratic splitting that solves for it: one round of it a step, as published.
        cap: the visible counts at most so many times what the infrared does at the same pixel, as in the authors' code;
            without it (infinity) a pixel keeps to the source that the model happened to draw.
    """

    infrared: Tensor
    visible: Tensor
    smooth: float = 0.001
    coupling: float = 0.001
    cap: float = 2.0

    def __post_init__(self) -> None:
        if self.infrared.shape != self.visible.shape:
            one, other = ("×".join(map(str, picture.shape)) for picture in (self.infrared, self.visible))
            raise BadInput(f"The pictures to fuse have shapes {one} and {other}: send both alike.", field="images")

    def correct(self, fused: Tensor, scales: Scales) -> tuple[Tensor, Scales]:
        """A better luminance (B, 1, H, W), and the scales for the next round: one E- and one M-step."""
        x, y = fused - self.visible, self.infrared - self.visible
        of_infrared = _precision(y - x, scales.infrared)
        of_visible = torch.minimum(_precision(x, scales.visible), self.cap * of_infrared)
        updated = Scales(_scale(of_infrared, scales.infrared), _scale(of_visible, scales.visible))
        near = self._smoothed(x)
        x = (of_infrared * y + self.coupling * near) / (of_infrared + of_visible + self.coupling)
        return self.visible + x, updated

    def _smoothed(self, x: Tensor) -> Tensor:
        """The k that minimises coupling·‖k − x‖² + smooth·‖∇k‖², the picture being periodic."""
        height, width = x.shape[-2:]
        bend = self.smooth / self.coupling * _frequencies(height, width, x)
        smooth: Tensor = irfft2(rfft2(x) / (1 + bend), s=(height, width))
        return smooth


class Fusing:
    """What a sampler calls at every step with its clean picture: an `on_x0`, which remembers the scales.

    Args:
        encode, decode: of the model, where it draws latents: each is decoded, corrected and encoded again.
    """

    def __init__(self, pair: Pair, encode: Codec | None = None, decode: Codec | None = None) -> None:
        self.pair, self.encode, self.decode = pair, encode, decode
        ones = pair.infrared.new_ones(len(pair.infrared), 1, 1, 1)
        self.scales = Scales(ones, ones)
        self.picture: Tensor | None = None

    @torch.no_grad()
    def __call__(self, step: int, clean: Tensor) -> Tensor:
        """The corrected x̂₀ (B, …); `picture` is what it shows (B, 3, H, W)."""
        drawn = clean if self.decode is None else self.decode(clean)
        before = luminance(drawn)
        after, self.scales = self.pair.correct(before, self.scales)
        self.picture = drawn + (after - before)  # what is added is grey
        return self.picture if self.encode is None else self.encode(self.picture)


def _precision(difference: Tensor, scale: Tensor) -> Tensor:
    """E[1/variance] given the difference (E-step): the mean of an inverse Gaussian."""
    return (2 / scale / difference.square().clamp(min=NONE)).sqrt()


def _scale(precision: Tensor, scale: Tensor) -> Tensor:
    """What the scale is estimated as: the mean of E[variance] over the picture."""
    return (1 / precision + scale / 2).mean((1, 2, 3), keepdim=True)


def _frequencies(height: int, width: int, like: Tensor) -> Tensor:
    """|∇|² of forward differences in the Fourier domain, for `rfft2`."""
    rows = torch.fft.fftfreq(height, dtype=like.dtype, device=like.device)[:, None]
    columns = torch.fft.rfftfreq(width, dtype=like.dtype, device=like.device)
    squared: Tensor = 4 * ((torch.pi * rows).sin().square() + (torch.pi * columns).sin().square())
    return squared
