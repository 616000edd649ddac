"""The training table out of a run's scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.families import load_family
from core.profiles import read_quality
from families.embedded.recipe import tables
from families.embedded.recipe.evaluate import WAYS

FAMILY = load_family("embedded")


def test_levels_find_the_way_they_were_drawn_and_cached_ones_find_none() -> None:
    columns = tables.columns_of(FAMILY, list(WAYS))
    assert list(WAYS)[columns["exact"]] == "exact"
    assert list(WAYS)[columns["fs-turbo-1"]] == "turbo-1"
    assert list(WAYS)[columns["sm-medium-1"]] == "medium-1"
    assert list(WAYS)[columns["sm-turbo-half"]] == "turbo-half"
    assert "ac-3" not in columns


def test_prompts_that_were_not_scored_are_left_out_and_quality_is_relative(tmp_path: Path) -> None:
    fresh = np.full((3, 1, len(WAYS)), 1.8, np.float16)
    fresh[:, :, list(WAYS).index("exact")] = 2.0
    fresh[2] = np.nan
    np.savez(tmp_path / "scores.npz", ways=np.array(list(WAYS)), fresh=fresh)
    (tmp_path / "fresh.txt").write_text("a fox\ntwo foxes\nan owl\n")
    assert tables.write(tmp_path, tmp_path, FAMILY) == 2
    table = read_quality(tmp_path / "quality-train.csv")
    assert table.prompts == ("a fox", "two foxes")
    assert table.values[:, table.levels.index("exact")].tolist() == [1.0, 1.0]
    assert table.values[0, table.levels.index("fs-turbo-1")] == pytest.approx(0.9, abs=1e-3)
    with np.load(tmp_path / "quality-train-seeds.npz") as seeds:
        assert seeds["exact"].shape == (2, 1)
