"""What a request is expected to keep at each level, as the router reads it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from core.cached_latents import kind_of
from core.database import transaction
from core.families import load_family
from core.tables import CachedLatent, Worker
from scheduler.observation.queries import fetch_s
from scheduler.prediction import predictions
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


def telling(away: bool, name: str = "w", family: str = "embedded") -> None:
    """A worker says in its heartbeat whether its latent cache answers."""
    about = {"device": "cpu:0", "device_type": "cpu", "family": family, "state": "ready", "models": [], "queues": []}
    cache = {"away": away, "newest_fetch_s": 0.5}
    with transaction() as session:
        row = Worker(name=name, boot=uuid.uuid4(), stats={"cache": cache}, **about)
        row.seen_at = datetime.now(UTC)
        session.merge(row)


def test_while_the_cache_is_away_no_prompt_is_promised_a_latent_and_once_it_is_back_they_are(
    database: Any, monkeypatch: Any
):
    monkeypatch.setattr(predictions, "CACHE_S", 0.0)
    whole = load_family("embedded")
    family = whole.model_copy(update={"levels": {name: whole.level(name) for name in ("exact", "ac-3")}})
    row, read = asking(source_id=None), QualityPredictions(family)
    kind = kind_of(family, family.level("ac-3"), row.width, row.height, row.steps, "FlowMatchEulerDiscreteScheduler")
    vector = read.sentences([row.prompt])[0, :384].tolist()
    with transaction() as session:
        kept = {name: getattr(kind, name) for name in ("family", "model", "version", "width", "height", "steps")}
        kept["scheduler"] = family.models[kind.model].scheduler or kind.scheduler
        session.add(CachedLatent(**kept, k=3, embedding=vector, key="r-3", bytes=1))

    def promised() -> bool:
        with transaction() as session:
            read.refresh(session)
        quality, _ = read.predict([row], {"exact": 1.0, "ac-3": 0.99})
        return bool(quality[0, 1] > 0)

    assert promised()
    telling(away=True)
    assert not promised()
    telling(away=False, name="v")
    assert promised(), "half of the workers get answers"
    telling(away=True, name="v")
    assert not promised()
    telling(away=False)
    assert promised()
    with transaction() as session:
        assert fetch_s(session, family, "cpu") == 0.5
        assert fetch_s(session, family, "other") is None
