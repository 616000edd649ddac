"""What inpainting with a text-to-image denoiser keeps.

After each step it is set to the image's latent, noised as far as the row is by the row's own noise (RePaint, Lugmayr et
al. 2022, arXiv:2201.09865, eq. 8, without its resampling).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from workers.pipelines.samplers import SamplerState


@dataclass(frozen=True, eq=False)
class Kept:
    """What of a row's latent is not drawn anew. All have the layout of the latent; `mask` is 1 where it is drawn."""

    clean: Tensor
    noise: Tensor
    mask: Tensor

    def onto(self, latent: Tensor, sampler: SamplerState) -> Tensor:
        """The latent after a step, with what is kept as far as the sampler is."""
        return self.mask * latent + (1 - self.mask) * sampler.add_noise(self.clean, self.noise)
