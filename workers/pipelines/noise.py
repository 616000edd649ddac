"""The generator of a request's noise: the seed alone decides it, whatever device and dtype."""

from __future__ import annotations

import numpy as np
import torch

WORD = 2**32


def generator_of(seed: int) -> torch.Generator:
    """A generator of its own for a seed of 0 to 2^63−1.

    On the CPU torch's generator takes 64 bits and keeps the low 32: 7 and 2^32+7 would be one picture. Wider seeds are
    therefore mixed to 32 bits first (numpy's `SeedSequence`); those that fit stay what they are.
    """
    kept = seed if seed < WORD else int(np.random.SeedSequence(seed).generate_state(1)[0])
    return torch.Generator("cpu").manual_seed(kept)
