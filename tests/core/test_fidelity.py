"""Nearness to a truth, against formulas written out and cases with a known answer."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from core.fidelity import entropy, luminance, psnr, scd, ssim, vif


def drawn(seed, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


TRUTH = drawn(1, 3, 3, 48, 56)
NOISY = (TRUTH + 0.2 * drawn(2, 3, 3, 48, 56)).clamp(-1, 1)


def test_psnr_of_each_picture_is_its_formula():
    error = (NOISY - TRUTH).square().mean((1, 2, 3))
    assert torch.allclose(psnr(NOISY, TRUTH), 10 * (4 / error).log10())
    assert psnr(TRUTH + 3.0, torch.ones_like(TRUTH)).isinf().all()  # what is beyond white is white


def test_ssim_of_each_picture_is_the_published_formula():
    """Wang et al. 2004, eq. 13, in the Gaussian window of deviation 1.5 and 11 pixels, mirrored at the edge."""
    one, two = TRUTH[0, 0].numpy(), NOISY[0, 0].numpy()

    def smooth(values):
        return gaussian_filter(values, 1.5, truncate=3.5, mode="mirror")

    (a, b), c1, c2 = (smooth(one), smooth(two)), (0.01 * 2) ** 2, (0.03 * 2) ** 2
    together = smooth(one * two) - a * b
    spreads = smooth(one**2) - a**2 + smooth(two**2) - b**2
    wanted = ((2 * a * b + c1) * (2 * together + c2) / ((a**2 + b**2 + c1) * (spreads + c2))).mean()
    assert ssim(NOISY[:1, :1], TRUTH[:1, :1]).item() == pytest.approx(wanted, abs=1e-9)
    assert torch.allclose(ssim(TRUTH, TRUTH), torch.ones(3, dtype=torch.float64))
    assert ssim(NOISY[:1], TRUTH[:1]).shape == (1,)


def test_vif_is_one_of_the_truth_less_of_a_blurred_one_and_more_of_one_with_contrast():
    blurred = torch.from_numpy(gaussian_filter(TRUTH.numpy(), (0, 0, 1, 1)))
    middle = TRUTH / 3
    assert torch.allclose(vif(TRUTH, TRUTH), torch.ones(3, dtype=torch.float64), atol=1e-9)
    assert (vif(blurred, TRUTH) < 0.5).all()
    assert (vif(middle * 2, middle) > 1.0).all()


def test_entropy_is_in_bits():
    even, halves = torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    halves[..., 4:] = -1.0
    all_greys = torch.linspace(-1, 1, 256).view(1, 1, 16, 16)
    assert [round(entropy(p).item(), 5) for p in (even, halves, all_greys)] == [0.0, 1.0, 8.0]


def test_scd_of_a_sum_is_two_and_of_one_source_alone_is_less():
    first, second = drawn(3, 2, 1, 32, 32), drawn(4, 2, 1, 32, 32)
    assert torch.allclose(scd(first + second, first, second), torch.full((2,), 2.0, dtype=torch.float64))
    flat = (first - second).numpy().reshape(2, -1)
    wanted = [np.corrcoef(row, source)[0, 1] for row, source in zip(flat, first.numpy().reshape(2, -1), strict=True)]
    assert torch.allclose(scd(first, first, second), torch.tensor(wanted, dtype=torch.float64))


def test_luminance_of_grey_in_colour_is_the_grey():
    grey = drawn(5, 1, 1, 4, 4)
    assert torch.allclose(luminance(grey.expand(1, 3, 4, 4)), grey)
    assert luminance(grey) is grey
