"""Which attention back-end is preferred, by a clock that the test turns."""

from __future__ import annotations

import pytest
import torch

from workers.pipelines.attention import BACKENDS, DEFAULT, ROUNDS, attention, fastest


def clock(cold, *rounds):
    """Seconds of each run: the first of every back-end is a cold one, then those of each round."""
    runs = {}

    def seconds(name):
        runs[name] = runs.get(name, -1) + 1
        taken = (cold, *rounds)[min(runs[name], len(rounds))]
        return taken.get(name, taken["others"])

    return seconds


def test_a_back_end_that_only_met_warmer_kernels_is_not_preferred():
    cold = {DEFAULT: 0.0998, "flash": 0.0954, "cudnn": 0.1000, "efficient": 0.0948, "others": 1.0}  # SDXL, H100
    assert fastest(clock(cold, {"others": 0.063})) == DEFAULT


def test_one_that_is_clearly_ahead_in_every_round_is_preferred_though_its_first_run_was_slow():
    cold = {"cudnn": 2.0, "others": 0.1}
    assert fastest(clock(cold, {"cudnn": 0.05, "flash": 0.055, "others": 0.06})) == "cudnn"


def test_one_that_falls_behind_once_is_not():
    ahead, behind = {"cudnn": 0.05, "others": 0.06}, {"cudnn": 0.07, "others": 0.06}
    assert fastest(clock(ahead, *[ahead] * (ROUNDS - 1), behind)) == DEFAULT
    assert fastest(clock(ahead, *[ahead] * ROUNDS)) == "cudnn"


@pytest.mark.parametrize("name", [DEFAULT, *BACKENDS])
def test_every_back_end_may_be_asked_for_on_any_device(name):
    query = torch.randn(1, 2, 5, 8)
    plain = torch.nn.functional.scaled_dot_product_attention(query, query, query)
    with attention(name):
        asked = torch.nn.functional.scaled_dot_product_attention(query, query, query)
    assert torch.allclose(asked, plain, atol=1e-6)
