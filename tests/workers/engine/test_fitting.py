"""A device without room for any model of its family is told before anything is loaded."""

from __future__ import annotations

import pytest
import torch

from core.errors import NoModelFits
from core.families import load_family
from workers.engine.fitting import check_fits, sizes_mb

HALF = torch.bfloat16


def test_a_family_of_which_one_model_fits_is_let_through():
    family = load_family("sdxl")
    sizes = sizes_mb(family, HALF)
    check_fits(family, HALF, min(sizes.values()))
    check_fits(family, HALF, 0)  # no budget, no limit


def test_what_would_fit_is_named_with_what_it_takes():
    family = load_family("flux")
    with pytest.raises(NoModelFits, match="takes 33") as raised:
        check_fits(family, HALF, 27_000)
    assert 'with quantization = "int8"' in raised.value.message
    assert "family sdxl (sdxl " in raised.value.message


def test_where_nothing_fits_that_is_said():
    with pytest.raises(NoModelFits, match="nothing that ships with Argus"):
        check_fits(load_family("sd15"), HALF, 1.0)
