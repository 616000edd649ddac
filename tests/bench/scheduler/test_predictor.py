"""What of a table is the noise of seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.scheduler import perfect
from tests.bench.scheduler.conftest import Drawn


def test_the_noise_of_seeds_is_read_off_their_scatter(
    drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "quality-seeds.npz"
    np.savez(path, **drawn.scores)
    monkeypatch.setattr(perfect, "SEEDS", path)
    noise = perfect.seed_noise(drawn.table)
    per_cell = 0.1 / np.sqrt(3) / 2.0
    assert np.sqrt((noise[:, 1] ** 2).mean()) == pytest.approx(per_cell, rel=0.15)
    assert noise[:, [0, 2]] == pytest.approx(0.0, abs=1e-9)
