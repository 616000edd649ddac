"""What a request is expected to keep at each level, as the router reads it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from core.families import load_family
from scheduler.prediction.predictions import QualityPredictions


def asking(**columns: Any) -> Any:
    return SimpleNamespace(
        **{
            "prompt": "a fox",
            "loras": None,
            "negative_prompt": "",
            "emphasis": None,
            "steps": 12,
            "width": 256,
            "height": 256,
            **columns,
        }
    )


def test_a_level_that_was_calibrated_for_the_usual_steps_and_size_has_nothing_to_offer_to_others(database: Any):
    whole = load_family("embedded")
    family = whole.model_copy(update={"levels": {name: whole.level(name) for name in ("exact", "cq-3")}})
    rows = [asking(), asking(steps=20), asking(width=128, height=128)]
    quality, _ = QualityPredictions(family).predict(rows, {"exact": 1.0, "cq-3": 0.999})
    assert quality[0, 1] > 0.9
    assert quality[:, 0].tolist() == [1, 1, 1]
    assert quality[1:, 1].tolist() == [0, 0]
