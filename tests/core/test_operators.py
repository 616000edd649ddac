"""Degradations described as data: exact adjoints, closed inverses, and errors that name the field."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from core.errors import BadInput, BadPicture, OutOfRange
from core.operators import Blur, Down, Mask, operator_of

SHAPE = (2, 3, 16, 24)
KNOWN = np.ones(SHAPE[-2:], bool)
KNOWN[4:12, 6:20] = False
OPERATORS = [Blur(sigma=1.3, size=7), Down(factor=4), Mask(known=KNOWN)]


def drawn(seed, shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(params=OPERATORS, ids=lambda operator: type(operator).__name__)
def operator(request):
    return request.param


def test_the_adjoint_is_exact(operator):
    x = drawn(1)
    y = drawn(2, operator.apply(x).shape)
    assert torch.allclose((operator.apply(x) * y).sum(), (x * operator.adjoint(y)).sum(), rtol=1e-12)


def test_the_pseudo_inverse_has_the_four_properties_of_penrose(operator):
    x = drawn(3)
    a, inverse = operator.apply, operator.pseudo_inverse
    y, other = a(x), drawn(4)
    near = {"rtol": 0.0, "atol": 1e-7}  # a blur's smallest singular values are small
    assert torch.allclose(a(inverse(y)), y, **near)
    assert torch.allclose(inverse(a(inverse(y))), inverse(y), **near)
    assert torch.allclose((a(inverse(y)) * a(other)).sum(), (y * a(inverse(a(other)))).sum(), **near)
    assert torch.allclose((inverse(a(x)) * other).sum(), (x * inverse(a(other))).sum(), **near)


def test_the_nearest_picture_is_the_minimum(operator):
    """Its gradient is zero: Aᵀ(A·x − y) + weight·(x − pictures)."""
    pictures, weight = drawn(5), 0.03
    measured = drawn(6, operator.apply(pictures).shape)
    x = operator.nearest(measured, pictures, weight)
    gradient = operator.adjoint(operator.apply(x) - measured) + weight * (x - pictures)
    assert gradient.abs().max() < 1e-12


def test_noise_has_its_deviation_and_comes_from_the_generator():
    noisy = Down(factor=2, noise=0.05)
    picture = torch.zeros(1, 3, 256, 256)
    measured = noisy.measure(picture, torch.Generator().manual_seed(7))
    assert measured.equal(noisy.measure(picture, torch.Generator().manual_seed(7)))
    count = measured.numel()
    assert noisy.misfit(picture, measured).item() == pytest.approx(0.05, abs=4 * 0.05 / (2 * count) ** 0.5)


def test_a_blur_keeps_what_is_even_and_mirrors_at_the_edge():
    blur = Blur(sigma=2.0, size=9)
    assert torch.allclose(blur.apply(torch.ones(1, 1, 12, 12)), torch.ones(1, 1, 12, 12))
    edge = torch.zeros(1, 1, 12, 12, dtype=torch.float64)
    edge[..., 1] = 1.0  # the second column is seen twice from the first
    kernel = np.exp(-0.5 * (np.arange(-4, 5) / 2.0) ** 2)
    kernel /= kernel.sum()
    assert blur.apply(edge)[0, 0, 6, 0].item() == pytest.approx(2 * kernel[3])


def test_averaging_is_torchs_own():
    x = drawn(8)
    assert torch.allclose(Down(factor=4).apply(x), torch.nn.functional.avg_pool2d(x, 4))


def test_descriptions_become_operators():
    assert operator_of({"operator": "blur", "sigma": "1.5", "size": 9.0, "noise": 0.1}) == Blur(
        sigma=1.5, size=9, noise=0.1
    )
    assert operator_of({"operator": "down", "factor": 4}) == Down(factor=4)
    mask = Image.fromarray(np.where(KNOWN, 0, 255).astype(np.uint8))
    known = operator_of({"operator": "mask", "noise": 0.2}, mask)
    assert np.array_equal(known.known, KNOWN)
    assert known.noise == 0.2


@pytest.mark.parametrize(
    ("described", "field", "said"),
    [
        ({"operator": "rain"}, "operator", "blur, down, mask"),
        ({}, "operator", "blur, down, mask"),
        ({"operator": "blur", "sigma": 1.0}, "operator.size", "size"),
        ({"operator": "blur", "sigma": 0.0, "size": 3}, "operator.sigma", "0.1 to 32"),
        ({"operator": "blur", "sigma": 1.0, "size": 4}, "operator.size", "odd"),
        ({"operator": "down", "factor": 2.5}, "operator.factor", "whole"),
        ({"operator": "down", "factor": 32}, "operator.factor", "2 to 16"),
        ({"operator": "down", "factor": 2, "noise": "nan"}, "operator.noise", "noise"),
        ({"operator": "down", "factor": 2, "noise": 2}, "operator.noise", "0 to 1"),
        ({"operator": "down", "factor": 2, "sigma": 2}, "operator.sigma", "factor, noise"),
        ({"operator": "mask"}, "mask", "picture"),
    ],
)
def test_a_wrong_description_names_the_field_and_what_is_allowed(described, field, said):
    with pytest.raises(BadInput) as caught:
        operator_of(described)
    assert caught.value.field == field
    assert said in caught.value.message


def test_an_operator_that_does_not_fit_the_picture_says_what_would():
    with pytest.raises(OutOfRange, match=r"allowed: 3, 9\."):
        Down(factor=2).check(27, 27)
    with pytest.raises(OutOfRange, match="at most 15"):
        Blur(sigma=2.0, size=17).check(8, 64)
    with pytest.raises(OutOfRange, match="24×16"):
        Mask(known=KNOWN).check(16, 16)
    for known in (np.ones((4, 4), bool), np.zeros((4, 4), bool)):
        with pytest.raises(BadPicture):
            Mask(known=known)


def test_a_description_is_checked_without_torch():
    code = "import sys; from core.operators import Down; Down(factor=2).check(8, 8)"
    looked = f"{code}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", looked], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr


def test_a_check_computes_no_matrix_however_large_the_picture() -> None:
    before = Blur.line.cache_info().currsize, Down.line.cache_info().currsize
    for sigma in range(1, 30):
        Blur(sigma=sigma, size=129).check(4096, 4096)
        Down(factor=2).check(4096, 4096)
    assert (Blur.line.cache_info().currsize, Down.line.cache_info().currsize) == before
