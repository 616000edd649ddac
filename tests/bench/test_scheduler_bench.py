"""What the scheduler's benchmark makes of a quality table before it simulates anything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from bench import scheduler as bench
from core.profiles import QualityTable, parse_profile

PROMPTS = tuple(f"{n} things" for n in range(200))


@dataclass(frozen=True)
class Drawn:
    """A table over three seeds a prompt, with the scores behind it; `small` scatters by 0.1 a seed, `steady` not at all."""

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


def test_losses_are_scaled_to_the_profiles_means(drawn: Drawn) -> None:
    levels = [
        {"id": name, "requests_per_minute": rate, "latency_s": 60 / rate, "quality": quality}
        for name, rate, quality in (("exact", 10, 1.0), ("half", 15, 0.95), ("fast", 20, 0.9))
    ]
    profile = parse_profile({"family": "f", "device": "d", "levels": levels})
    table = bench.rescaled(drawn.table, profile)
    assert table.levels == ("exact", "half", "fast")
    assert table.values.mean(axis=0) == pytest.approx([1.0, 0.95, 0.9])
    assert (table.values <= 1).all()


def test_other_prompts_are_rescaled_as_the_judged_ones_are(drawn: Drawn) -> None:
    levels = [
        {"id": name, "requests_per_minute": rate, "latency_s": 60 / rate, "quality": quality}
        for name, rate, quality in (("exact", 10, 1.0), ("half", 15, 0.95), ("fast", 20, 0.9))
    ]
    profile = parse_profile({"family": "f", "device": "d", "levels": levels})
    half = replace(drawn.table, prompts=drawn.table.prompts[:80], values=drawn.table.values[:80])
    assert np.allclose(
        bench.rescaled(half, profile, drawn.table).values, bench.rescaled(drawn.table, profile).values[:80]
    )


def test_the_noise_of_seeds_is_read_off_their_scatter(
    drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "quality-seeds.npz"
    np.savez(path, **drawn.scores)
    monkeypatch.setattr(bench, "SEEDS", path)
    noise = bench.seed_noise(drawn.table)
    per_cell = 0.1 / np.sqrt(3) / 2.0
    assert np.sqrt((noise[:, 1] ** 2).mean()) == pytest.approx(per_cell, rel=0.15)
    assert noise[:, [0, 2]] == pytest.approx(0.0, abs=1e-9)


def test_a_prediction_does_not_know_the_row_it_is_for(drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features that name the row would give every quality away."""
    from scheduler.prediction.features import SURFACE, WORDS

    rows = np.column_stack([np.eye(200) * 9, np.zeros((200, SURFACE + WORDS))])
    monkeypatch.setattr(bench, "features_of", lambda prompts: rows)
    told, true = bench.out_of_fold(drawn.table, 1).values[:, 2], drawn.table.values[:, 2]
    assert abs(np.corrcoef(told, true)[0, 1]) < 0.4
    assert np.abs(told - true.mean()).max() < 0.05


def test_a_page_says_what_was_not_reached() -> None:
    row = {"load": 0.9, "pac": 0.92, "bound": 0.03, "true": 0.95, "told": 0.93, "oracle": 0.96}
    row |= {f"{name}_violations": 0.0 for name in ("true", "told", "oracle")}
    page = bench.show_steady([row])
    assert page.count("**not reached**") == 2
    assert "75 % at least" in page
