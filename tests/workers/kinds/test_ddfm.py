"""DDFM's correction: one round of expectation and maximisation, checked against its model."""

import math

import pytest
import torch

from core.errors import BadInput
from core.fidelity import luminance
from workers.kinds.ddfm import Fusing, Pair, Scales


def drawn(seed, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


INFRARED, VISIBLE, FUSED = drawn(1, 2, 1, 12, 10), drawn(2, 2, 1, 12, 10), drawn(3, 2, 1, 12, 10)
ONE = torch.ones(2, 1, 1, 1, dtype=torch.float64)


def log_likelihood(fused, scales):
    """Of both Laplace priors, whose scale is √(γ/2): what the Gaussian mixtures integrate to."""
    total = 0.0
    for source, scale in ((INFRARED, scales.infrared), (VISIBLE, scales.visible)):
        width = (scale / 2).sqrt()
        total = total + (-(2 * width).log() - (fused - source).abs() / width).sum((1, 2, 3))
    return total


def test_no_round_makes_the_likelihood_smaller():
    pair, fused, scales = Pair(INFRARED, VISIBLE, smooth=0.0, coupling=1e-12, cap=math.inf), FUSED, Scales(ONE, ONE)
    before = log_likelihood(fused, scales)
    for _ in range(8):
        fused, scales = pair.correct(fused, scales)
        after = log_likelihood(fused, scales)
        assert (after >= before - 1e-6).all()
        before = after


def test_the_first_round_weighs_each_source_by_how_near_the_picture_is_to_it():
    """With equal scales E[1/variance] ∝ 1/|difference|, so a pixel goes to the weighted mean of both."""
    corrected, scales = Pair(INFRARED, VISIBLE, smooth=0.0, coupling=1e-12, cap=math.inf).correct(
        FUSED, Scales(ONE, ONE)
    )
    to_infrared, to_visible = (FUSED - INFRARED).abs(), (FUSED - VISIBLE).abs()
    assert torch.allclose(corrected, (INFRARED * to_visible + VISIBLE * to_infrared) / (to_infrared + to_visible))
    wanted = (to_infrared / math.sqrt(2) + 0.5).mean((1, 2, 3), keepdim=True)
    assert torch.allclose(scales.infrared, wanted)


def test_the_smooth_copy_of_a_difference_is_the_minimum_of_its_quadratic():
    pair, y = Pair(INFRARED, VISIBLE, smooth=0.3, coupling=0.5), INFRARED - VISIBLE
    k = pair._smoothed(y)
    bent = sum(2 * k - k.roll(1, axis) - k.roll(-1, axis) for axis in (2, 3))  # ∇ᵀ∇k
    assert (pair.coupling * (k - y) + pair.smooth * bent).abs().max() < 1e-12


def test_with_the_cap_every_pixel_keeps_a_share_of_the_infrared():
    pair = Pair(INFRARED, VISIBLE, coupling=1e-12, cap=2.0)
    corrected, _ = pair.correct(VISIBLE + 1e-3, Scales(ONE, ONE))  # the model drew the visible
    assert torch.allclose(corrected, (INFRARED + 2 * VISIBLE) / 3, atol=1e-3)


def test_fusing_keeps_colours_and_decodes_latents():
    pair, picture = Pair(INFRARED, VISIBLE), drawn(4, 2, 3, 12, 10)
    plain, halved = Fusing(pair), Fusing(pair, encode=lambda p: p / 2, decode=lambda z: 2 * z)
    corrected = plain(1, picture)
    added = corrected - picture
    assert torch.allclose(added, added[:, :1].expand_as(added))
    assert torch.allclose(halved(1, picture / 2), corrected / 2)
    between = torch.minimum(INFRARED, VISIBLE) - 1e-6, torch.maximum(INFRARED, VISIBLE) + 1e-6
    assert (luminance(corrected) >= between[0]).all()
    assert (luminance(corrected) <= between[1]).all()
    assert not plain(2, picture).equal(corrected)  # the scales have moved


def test_sources_of_two_shapes_are_refused():
    with pytest.raises(BadInput, match="2×1×12×10 and 2×1×12×5") as caught:
        Pair(INFRARED, VISIBLE[..., :5])
    assert caught.value.field == "images"
