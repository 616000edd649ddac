"""A quality table as the benchmark reads it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from core.profiles import QualityTable

PROMPTS = tuple(f"{n} things" for n in range(200))


@dataclass(frozen=True)
class Drawn:
    """A table over three seeds a prompt, with its scores; `small` scatters by 0.1 a seed, `steady` not at all."""

    table: QualityTable
    scores: dict[str, np.ndarray]


@pytest.fixture
def drawn() -> Drawn:
    rng = np.random.default_rng(0)
    exact = 2.0 + 0.1 * rng.normal(size=(200, 3))
    expected = 1 - 0.1 * rng.exponential(size=(200, 1))
    scores = {"exact": exact, "small": exact * expected + 0.1 * rng.normal(size=(200, 3)), "steady": exact * expected}
    values = np.column_stack([scores[level].mean(1) / exact.mean(1) for level in scores])
    return Drawn(QualityTable(tuple(scores), PROMPTS, values), scores)
