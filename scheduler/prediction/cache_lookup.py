"""What the latent cache can offer a prompt, asked of pgvector before anything is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Integer, Text

from core.database import transaction
from core.families import Family
from core.tables import EMBEDDING_WIDTH, CachedLatent, Request
from scheduler.prediction.features import Features

NEAREST = text(
    """
SELECT q.place, 1 - n.distance
FROM unnest(:vectors, :widths, :heights) WITH ORDINALITY AS q(vector, width, height, place)
CROSS JOIN LATERAL (
    SELECT c.embedding <=> q.vector::halfvec(384) AS distance FROM cached_latent c
    WHERE c.family = :family AND c.version = :version AND c.width = q.width AND c.height = q.height
    ORDER BY c.embedding <=> q.vector::halfvec(384) LIMIT 1
) n
"""
)


def nearest(family: Family, rows: Sequence[Request], features: Features) -> np.ndarray:
    """Cosine of each prompt to the nearest one with a cached latent of the same family and size (N); 0 for none."""
    found = np.zeros(len(rows))
    with transaction() as session:
        kept = select(CachedLatent.id).where(CachedLatent.family == family.id, CachedLatent.version == family.version)
        if session.scalar(kept.limit(1)) is None:
            return found
        vectors = features([row.prompt for row in rows])[:, :EMBEDDING_WIDTH]
        session.execute(text("SET LOCAL hnsw.iterative_scan = strict_order"))  # or a rare kind's rows may not be met
        texts = ["[" + ",".join(f"{x:.5f}" for x in vector) + "]" for vector in vectors]
        asked = NEAREST.bindparams(
            bindparam("vectors", texts, type_=ARRAY(Text())),
            bindparam("widths", [row.width for row in rows], type_=ARRAY(Integer())),
            bindparam("heights", [row.height for row in rows], type_=ARRAY(Integer())),
            family=family.id,
            version=family.version,
        )
        for place, similarity in session.execute(asked):
            found[place - 1] = similarity
    return found
