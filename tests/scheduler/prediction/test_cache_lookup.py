"""The router prices only those cache hits that a worker can use."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sqlalchemy import select

from core.cached_latents import Kind, kind_of, weighted_words
from core.database import engine, transaction
from core.families import Family
from core.tables import CachedLatent
from scheduler.prediction.cache_lookup import cache_offers
from workers.engine.request import GenerationRequest
from workers.latent_cache.cache import LatentCache
from workers.latent_cache.store import encode_entry
from workers.latent_cache.vector_index import VectorIndex

FAMILY = Family.model_validate(
    {
        "id": "toy",
        "title": "Toy",
        "version": "1",
        "reference": "exact",
        "defaults": {"steps": 10, "guidance": 2, "width": 64, "height": 64},
        "limits": {"steps": [1, 50], "guidance": [0, 9], "sizes": [[64, 64], [32, 32]]},
        "models": {
            "large": {"id": "large", "pipeline": "x", "path": "x", "scheduler": "Euler"},
            "small": {"id": "small", "pipeline": "x", "path": "x"},
        },
        "levels": {
            "exact": {"id": "exact", "strategy": "exact", "model": "large"},
            "ac-3": {"id": "ac-3", "strategy": "ac", "model": "large", "skip": 3},
            "ac-5": {"id": "ac-5", "strategy": "ac", "model": "large", "skip": 5},
            "small-3": {"id": "small-3", "strategy": "ac", "model": "small", "skip": 3},
            "modm": {"id": "modm", "strategy": "ac", "model": "small", "skip": 3, "options": {"source": "image"}},
        },
        "scorer": {"kind": "embedded-clip", "path": "x"},
    }
)
LEVELS = [FAMILY.levels[name] for name in ("ac-3", "ac-5", "small-3", "modm")]


def unit(degrees: float) -> np.ndarray:
    vector = np.zeros(384)
    vector[:2] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return vector


def features(prompts: list[str]) -> np.ndarray:
    """A prompt says by how many degrees it is turned away from the cached one."""
    return np.stack([unit(float(prompt)) for prompt in prompts])


def keep(ks: tuple[int, ...] = (3, 5), run: str = "r", **kind: Any) -> None:
    """Latents that one request has left behind."""
    plain = {"family": "toy", "model": "large", "version": "1", "width": 64, "height": 64, "steps": 10}
    plain |= {"scheduler": "Euler", **kind}
    with transaction() as session:
        for k in ks:
            session.add(CachedLatent(**plain, k=k, embedding=unit(0).tolist(), key=f"{run}-{k}", bytes=1))


def asking(degrees: float, **columns: Any) -> Any:
    plain = {"prompt": str(degrees), "negative_prompt": "", "loras": None, "emphasis": None}
    return SimpleNamespace(**{**plain, "width": 64, "height": 64, "steps": 10, **columns})


def hits(*rows: Any) -> list[list[str]]:
    _, hit = cache_offers(FAMILY, rows, LEVELS, features)  # type: ignore[arg-type]
    return [[level.id for level, can in zip(LEVELS, line, strict=True) if can] for line in hit]


def test_a_near_prompt_opens_the_levels_that_its_similarity_allows(database: Any) -> None:
    keep()
    same, near, far = asking(0), asking(28), asking(60)  # cosine 1, .88, .5; skipping 3 of 10 needs .85, 5 of 10 .95
    assert hits(same, near, far) == [["ac-3", "ac-5"], ["ac-3"], []]
    similarity, _ = cache_offers(FAMILY, [near], LEVELS, features)  # type: ignore[list-item, arg-type]
    assert similarity[0, 0] == pytest.approx(np.cos(np.radians(28)), abs=0.01)


@pytest.mark.parametrize(
    "other", [{"model": "small"}, {"steps": 12}, {"scheduler": "DDIM"}, {"version": "0"}, {"width": 32}]
)
def test_latents_of_another_kind_open_nothing_on_the_model_that_cannot_use_them(database: Any, other: dict) -> None:
    keep(**other)
    assert [level for level in hits(asking(0))[0] if level.startswith("ac")] == []


def test_a_request_with_other_steps_or_size_does_not_find_these_latents(database: Any) -> None:
    keep()
    assert hits(asking(0, steps=20), asking(0, width=32)) == [[], []]


def test_what_was_drawn_without_loras_or_with_others_opens_nothing(database: Any) -> None:
    with_ink = kind_of(FAMILY, FAMILY.levels["ac-3"], 64, 64, 10, "Euler", loras="ink:1")
    keep(model=with_ink.model)
    assert hits(asking(0), asking(0, loras="ink:1"), asking(0, loras="ink:0.5")) == [[], ["ac-3", "ac-5"], []]


def test_what_was_drawn_with_other_weights_of_words_opens_nothing(database: Any) -> None:
    words = weighted_words("0", "", "0-1:1.2")
    keep(model=kind_of(FAMILY, FAMILY.levels["ac-3"], 64, 64, 10, "Euler", words=words).model)
    rows = [asking(0, emphasis=emphasis) for emphasis in (None, "0-1:1.2", "0-1:0.2", "/0-1:1.2")]
    assert hits(*rows, asking(0, emphasis="0-1:1.2", negative_prompt="a")) == [[], ["ac-3", "ac-5"], [], [], []]


def test_a_level_is_open_only_when_a_latent_after_its_own_steps_is_there(database: Any) -> None:
    keep(ks=(3,))
    assert hits(asking(0)) == [["ac-3"]]


def test_where_the_family_does_not_name_the_sampler_any_counts(database: Any) -> None:
    keep(model="small", scheduler="Whatever", run="s")
    assert hits(asking(0)) == [["small-3"]]


def test_a_finished_latent_serves_every_model_and_step_count(database: Any) -> None:
    keep(ks=(10,), model="*", steps=0, scheduler="*", run="f")
    assert hits(asking(0), asking(0, steps=20)) == [["modm"], ["modm"]]


class Latents:
    """A store with a file for every row, of which it is."""

    def get(self, key: str) -> bytes:
        with transaction() as session:
            row = session.scalars(select(CachedLatent).where(CachedLatent.key == key)).one()
        kind = Kind(**{field.name: getattr(row, field.name) for field in fields(Kind)})
        return encode_entry(kind, row.k, unit(0), torch.zeros(1, 2, 2))


@pytest.mark.parametrize("degrees", [0, 15, 20, 28, 40, 50])
@pytest.mark.parametrize("steps", [10, 20])
def test_the_router_and_the_worker_agree_on_what_a_prompt_may_start_from(
    database: Any, degrees: float, steps: int
) -> None:
    keep()
    keep(ks=(3,), model="small", scheduler="DDIM", run="s")
    keep(ks=(10,), model="*", steps=0, scheduler="*", run="f")
    cache = LatentCache(VectorIndex(engine()), Latents(), embed=lambda prompt: unit(float(prompt)))  # type: ignore[arg-type]
    samplers = {"large": "Euler", "small": "DDIM"}
    wanted = GenerationRequest("r", str(degrees), 1, FAMILY.levels["exact"], steps, 2.0, 64, 64)
    found = []
    for level in LEVELS:
        hit = cache.look_up(wanted, level, FAMILY, samplers[level.model])
        if hit is not None and hit.k == level.schedule(steps, 10)[1]:
            found.append(level.id)
    assert hits(asking(degrees, steps=steps)) == [found]
