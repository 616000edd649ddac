"""Another family's losses under the published profile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.scheduler import prompts
from core.profiles import parse_profile
from scheduler.prediction.features import SURFACE, WORDS
from tests.bench.scheduler.conftest import Drawn


def test_losses_are_scaled_to_the_profiles_means(drawn: Drawn) -> None:
    levels = [
        {"id": name, "requests_per_minute": rate, "latency_s": 60 / rate, "quality": quality}
        for name, rate, quality in (("exact", 10, 1.0), ("half", 15, 0.95), ("fast", 20, 0.9))
    ]
    profile = parse_profile({"family": "f", "device": "d", "levels": levels})
    table = prompts.rescaled(drawn.table, profile)
    assert table.levels == ("exact", "half", "fast")
    assert table.values.mean(axis=0) == pytest.approx([1.0, 0.95, 0.9], abs=1e-4)
    assert (table.values <= 1).all()
    assert (np.diff(table.values, axis=1) <= 0).all(), "who skips more loses no less"


def test_other_prompts_are_rescaled_as_the_judged_ones_are(drawn: Drawn) -> None:
    levels = [
        {"id": name, "requests_per_minute": rate, "latency_s": 60 / rate, "quality": quality}
        for name, rate, quality in (("exact", 10, 1.0), ("half", 15, 0.95), ("fast", 20, 0.9))
    ]
    profile = parse_profile({"family": "f", "device": "d", "levels": levels})
    half = replace(drawn.table, prompts=drawn.table.prompts[:80], values=drawn.table.values[:80])
    assert np.allclose(
        prompts.rescaled(half, profile, drawn.table).values, prompts.rescaled(drawn.table, profile).values[:80]
    )


def test_a_prediction_does_not_know_the_row_it_is_for(drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features that name the row would give every quality away."""
    rows = np.column_stack([np.eye(200) * 9, np.zeros((200, SURFACE + WORDS))])
    monkeypatch.setattr(prompts, "features_of", lambda _: rows)
    told, true = prompts.out_of_fold(drawn.table, 1).values[:, 2], drawn.table.values[:, 2]
    assert abs(np.corrcoef(told, true)[0, 1]) < 0.4
    assert np.abs(told - true.mean()).max() < 0.05
