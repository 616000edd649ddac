"""What prompts mean, kept for those who look for images by it.

It walks along what was stored, in the router's worker, where the encoder is in memory, and never on the way of a
request: routing waits for nothing here. Prompts that were routed unread (docs/decisions/0109) are read here as well.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import ARRAY, Text, bindparam, delete, func, select, text, update
from sqlalchemy.types import Uuid

from core.database import quick_transaction, transaction
from core.families import Family
from core.search_tables import SearchText
from core.tables import EMBEDDING_WIDTH
from scheduler.prediction.features import as_vector, sentences

PAGE = 200  # requests looked at in one statement
TURN_S = 1.5  # of every PROMPTS_S: less than a third of a core, while there is much to read
LAG = "5 seconds"  # a transaction that stores an image is over by then
SEARCHES_KEPT = timedelta(days=1)
STORED = text(f"""
SELECT r.stored_at, r.tenant, md5(r.prompt)::uuid AS digest, r.prompt, p.digest IS NOT NULL AS known
FROM request r LEFT JOIN prompt_embedding p ON p.tenant = r.tenant AND p.digest = md5(r.prompt)::uuid
WHERE r.stored_at > coalesce((SELECT stored_at FROM embedding_mark), '-infinity')
  AND r.stored_at < now() - interval '{LAG}'
ORDER BY r.stored_at FETCH FIRST {PAGE} ROWS WITH TIES
""")
KEEP = text(f"""
INSERT INTO prompt_embedding (tenant, digest, embedding)
SELECT tenant, digest, CAST(vector AS halfvec({EMBEDDING_WIDTH}))
FROM unnest(:tenants, :digests, :vectors) AS found (tenant, digest, vector) ON CONFLICT DO NOTHING
""").bindparams(
    bindparam("tenants", type_=ARRAY(Text())),
    bindparam("digests", type_=ARRAY(Uuid())),
    bindparam("vectors", type_=ARRAY(Text())),
)
GO_ON = text("""
INSERT INTO embedding_mark VALUES (1, :at)
ON CONFLICT (id) DO UPDATE SET stored_at = greatest(embedding_mark.stored_at, excluded.stored_at)
""")
Prompt = tuple[str, uuid.UUID]  # whose, and its digest


class PromptIndex:
    """Embeds prompts of which there are images, and what is looked for.

    Args:
        can_read: whether the encoder is in memory; until then nothing is read, so that it is not loaded twice.
    """

    def __init__(self, family: Family, can_read: Callable[[], bool]) -> None:
        self._family, self._can_read = family, can_read

    def turn(self, most_s: float = TURN_S) -> int:
        """Read on, for about so many seconds; returns how many prompts were new."""
        end, new = time.monotonic() + most_s, 0
        _forget_searches()
        while self._can_read() and (page := _stored()):
            at, prompts = page
            self._keep(at, prompts)
            new += len(prompts)
            if time.monotonic() > end:
                break
        return new

    def read_search(self, digest: uuid.UUID) -> None:
        """Embed a text that somebody looks for."""
        this = SearchText.digest == digest
        with transaction() as session:
            wanted = session.scalar(select(SearchText.text).where(this, SearchText.embedding.is_(None)))
        if wanted is not None and self._can_read():
            (vector,) = sentences(self._family, [wanted])
            with quick_transaction() as session:
                session.execute(update(SearchText).where(this).values(embedding=vector.tolist()))

    def _keep(self, at: datetime, prompts: Mapping[Prompt, str]) -> None:
        vectors = [as_vector(one) for one in sentences(self._family, list(prompts.values()))] if prompts else []
        tenants, digests = [tenant for tenant, _ in prompts], [digest for _, digest in prompts]
        with quick_transaction() as session:
            if prompts:
                session.execute(KEEP, {"tenants": tenants, "digests": digests, "vectors": vectors})
            session.execute(GO_ON, {"at": at})


def _stored() -> tuple[datetime, dict[Prompt, str]] | None:
    """The next that were stored: up to when, and those of their prompts that are new; None when there are none."""
    with transaction() as session:
        rows = session.execute(STORED).all()
    if not rows:
        return None
    return rows[-1].stored_at, {(row.tenant, row.digest): row.prompt for row in rows if not row.known}


def _forget_searches() -> None:
    with quick_transaction() as session:
        session.execute(delete(SearchText).where(SearchText.asked_at < func.now() - SEARCHES_KEPT))
