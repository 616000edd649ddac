"""What the latent cache can offer a request at each level, asked of pgvector before anything is drawn.

The same question that a worker asks when the request starts (`core.cached_latents`, `core.similarity`): of its kind,
the nearest prompt; near enough; with a latent after the steps that the level skips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import Integer, Text

from core.cached_latents import Kind, is_final, kind_of, weighted_words
from core.database import transaction
from core.families import Family
from core.levels import Level
from core.similarity import allows
from core.tables import EMBEDDING_WIDTH, CachedLatent, Request
from scheduler.prediction.features import Features, as_vector

NEAREST = text(
    """
SELECT q.place, 1 - n.distance, n.key
FROM unnest(:vectors, :model, :width, :height, :steps, :scheduler)
     WITH ORDINALITY AS q(vector, model, width, height, steps, scheduler, place)
CROSS JOIN LATERAL (
    SELECT c.key, c.embedding <=> q.vector::halfvec(384) AS distance FROM cached_latent c
    WHERE c.family = :family AND c.version = :version AND c.model = q.model AND c.width = q.width
      AND c.height = q.height AND c.steps = q.steps AND (c.scheduler = q.scheduler OR q.scheduler = '')
    ORDER BY c.embedding <=> q.vector::halfvec(384) LIMIT 1
) n
"""
)
COLUMNS = {"model": Text, "width": Integer, "height": Integer, "steps": Integer, "scheduler": Text}


def cache_offers(
    family: Family, rows: Sequence[Request], levels: Sequence[Level], features: Features
) -> tuple[np.ndarray, np.ndarray]:
    """For N requests and L caching levels: cosine to the nearest usable prompt (N×L; 0 for none), and whether a worker
    could skip the level's steps (N×L)."""
    similarity, hit = np.zeros((len(rows), len(levels))), np.zeros((len(rows), len(levels)), bool)
    with transaction() as session:
        kept = select(CachedLatent.id).where(CachedLatent.family == family.id, CachedLatent.version == family.version)
        if not levels or session.scalar(kept.limit(1)) is None:
            return similarity, hit
        asked = [(i, j, _kind(family, level, row)) for i, row in enumerate(rows) for j, level in enumerate(levels)]
        pairs = list(dict.fromkeys((i, kind) for i, _, kind in asked))
        nearest = _nearest(session, family, rows, pairs, features)
        wanted = {}
        for i, j, kind in asked:
            if (i, kind) in nearest:
                similarity[i, j], key = nearest[i, kind]
                wanted[i, j] = _entry(family, levels[j], rows[i], key)
        known = set(session.scalars(select(CachedLatent.key).where(CachedLatent.key.in_(set(wanted.values())))))
    for (i, j), key in wanted.items():
        total, skip = levels[j].schedule(rows[i].steps, family.defaults.steps)
        hit[i, j] = key in known and bool(allows(similarity[i, j], skip / total))
    return similarity, hit


def _kind(family: Family, level: Level, row: Request) -> Kind:
    scheduler = family.models[level.model].scheduler or ""
    words = weighted_words(row.prompt, row.negative_prompt, row.emphasis)
    return kind_of(family, level, row.width, row.height, row.steps, scheduler, loras=row.loras, words=words)


def _entry(family: Family, level: Level, row: Request, key: str) -> str:
    """Key of the latent that the level starts from, beside the one found of the same prompt."""
    _, skip = level.schedule(row.steps, family.defaults.steps)
    return key if is_final(level) else f"{key.rpartition('-')[0]}-{skip}"


def _nearest(
    session: Session, family: Family, rows: Sequence[Request], pairs: Sequence[tuple[int, Kind]], features: Features
) -> dict[tuple[int, Kind], tuple[float, str]]:
    """Cosine and key of the nearest latent of a kind, by (row, kind), where there is one."""
    vectors = features([row.prompt for row in rows])[:, :EMBEDDING_WIDTH]
    texts = [as_vector(vector) for vector in vectors]
    session.execute(text("SET LOCAL hnsw.iterative_scan = strict_order"))  # or rows of a rare kind may not be reached
    asked = NEAREST.bindparams(
        bindparam("vectors", [texts[i] for i, _ in pairs], type_=ARRAY(Text())),
        *(
            bindparam(name, [asdict(kind)[name] for _, kind in pairs], type_=ARRAY(type_()))
            for name, type_ in COLUMNS.items()
        ),
        family=family.id,
        version=family.version,
    )
    return {pairs[place - 1]: (similarity, key) for place, similarity, key in session.execute(asked)}
