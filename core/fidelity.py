"""How near pictures come to a truth, and how much of two pictures a fusion of them keeps.

Pictures are (B, C, H, W) in −1…1, float32 or float64; every answer is (B,). PSNR, SSIM and VIF are torchmetrics' own,
one number a picture. Entropy and SCD, which it lacks, follow their formulas. torch is imported when something is
measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

GREYS = 256  # levels of a pixel
RED_GREEN_BLUE = (0.299, 0.587, 0.114)  # in luminance (ITU-R BT.601)
EVEN = 1e-12  # a variance below this is none


def psnr(pictures: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB; infinite where both are the same."""
    from torchmetrics.functional.image import peak_signal_noise_ratio

    pixels = (1, 2, 3)
    found: Tensor = peak_signal_noise_ratio(pictures.clamp(-1, 1), truth, data_range=2.0, reduction="none", dim=pixels)
    return found


def ssim(pictures: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004), in a Gaussian window of deviation 1.5; 1 where both are the same."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    found: Tensor = structural_similarity_index_measure(  # type: ignore[assignment]
        pictures.clamp(-1, 1), truth, data_range=2.0, reduction="none"
    )
    return found.reshape(-1)  # of one picture it answers a scalar


def vif(pictures: Tensor, truth: Tensor) -> Tensor:
    """Visual information fidelity in the pixel domain (Sheikh & Bovik 2006), of grey levels; sides of 41 at least."""
    from torchmetrics.functional.image import visual_information_fidelity

    found: Tensor = visual_information_fidelity(_greys(pictures), _greys(truth), reduction="none")
    return found


def entropy(pictures: Tensor) -> Tensor:
    """Of the histogram of 256 luminances, in bits (Shannon 1948): 0 of an even picture, 8 at most."""
    levels = _greys(luminance(pictures)).round().long().flatten(1)
    counts = pictures.new_zeros(len(levels), GREYS).scatter_add_(1, levels, pictures.new_ones(levels.shape))
    shares = counts / levels.shape[1]
    return -(shares * shares.clamp(min=EVEN).log2()).sum(1)


def scd(fused: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Sum of the correlations of differences (Aslantas & Bendes 2015), of luminances: −2…2.

    What a fusion shows beside one source should be what the other shows.
    """
    fused, first, second = (luminance(pictures) for pictures in (fused, first, second))
    return _correlation(fused - second, first) + _correlation(fused - first, second)


def luminance(pictures: Tensor) -> Tensor:
    """(B, 1, H, W) of pictures in colour or grey."""
    if pictures.shape[1] == 1:
        return pictures
    return (pictures * pictures.new_tensor(RED_GREEN_BLUE).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _greys(pictures: Tensor) -> Tensor:
    """In 0…255, not rounded."""
    return (pictures.clamp(-1, 1) + 1) * ((GREYS - 1) / 2)


def _correlation(one: Tensor, other: Tensor) -> Tensor:
    """Pearson's; 0 where one of both is even."""
    one, other = (flat - flat.mean(1, keepdim=True) for flat in (one.flatten(1), other.flatten(1)))
    spread = one.square().sum(1) * other.square().sum(1)
    return (one * other).sum(1) / spread.clamp(min=EVEN).sqrt()
