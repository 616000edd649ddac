"""Measured relative quality, from images made twice.

A score alone says little: some prompts score low at any level. Relative quality needs the same prompt and seed at
`exact`. So a few approximated requests are drawn again at the reference level, as batch work (it yields to everybody,
and the plan knows it), and the two scores make one measured relative quality: some whenever the cluster idles, and one
in a hundred requests where it never does. These audits tell whether the predictor has drifted, and are what it is
retrained on. Requests with LoRAs or weighted words are left out: the predictor knows plain prompts alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from core.families import Family
from core.own_work import SOURCE
from core.requests import new_requests
from core.tables import Job, Request, ServiceClass
from core.tenant_tables import ITSELF

LOOK_BACK = timedelta(hours=24)
LEAST_SCORE = 0.05  # a reference that scores nearly nothing cannot be divided by

TWIN = """
    e.prompt = r.prompt AND e.negative_prompt = r.negative_prompt AND e.seed = r.seed AND e.steps = r.steps
    AND e.guidance = r.guidance AND e.width = r.width AND e.height = r.height AND e.family = r.family
    AND e.level_asked = :reference AND e.level_asked <> 'auto' AND md5(e.prompt) = md5(r.prompt)
"""  # by the index of requests that name their level

NEWEST_SCORE = """(
    SELECT s.value FROM image i JOIN score s ON s.image_id = i.id WHERE i.request_id = {}
    ORDER BY i.created_at DESC, s.created_at DESC LIMIT 1
)"""

RECENT = 1000  # requests among which some are chosen to be drawn again

CANDIDATES = f"""
WITH recent AS MATERIALIZED (
    SELECT r.* FROM request r
    WHERE r.family = :family AND r.state = 'done' AND r.level <> :reference
      AND r.loras IS NULL AND r.emphasis IS NULL AND r.source_id IS NULL
      AND r.stored_at > :since AND r.scored_at IS NOT NULL
    ORDER BY r.stored_at DESC LIMIT {RECENT}
)
SELECT id FROM (
    SELECT r.id, row_number() OVER (PARTITION BY r.level ORDER BY md5(r.id::text)) AS turn FROM recent r
    WHERE NOT EXISTS (
        SELECT 1 FROM request e WHERE {TWIN} AND e.loras IS NULL AND e.emphasis IS NULL
                          AND e.source_id IS NULL AND e.state <> 'failed'
    )
) candidate
ORDER BY turn, md5(id::text) LIMIT :most
"""  # each level in its turn: each is judged for itself

PAIRS = f"""
WITH pair AS MATERIALIZED (
    SELECT DISTINCT ON (r.id) r.id, r.prompt, r.level, greatest(r.stored_at, e.stored_at) AS at, e.id AS twin
    FROM request r JOIN request e ON {TWIN}
    WHERE r.family = :family AND r.state = 'done' AND r.level <> :reference AND r.stored_at > :since
      AND r.loras IS NULL AND e.loras IS NULL AND r.emphasis IS NULL AND e.emphasis IS NULL
      AND r.source_id IS NULL AND e.source_id IS NULL
      AND e.state = 'done' AND e.level = :reference
    ORDER BY r.id, e.scored_at NULLS LAST
)
SELECT * FROM (
    SELECT prompt, level, at, {NEWEST_SCORE.format("pair.id")} AS score,
           {NEWEST_SCORE.format("pair.twin")} AS reference_score
    FROM pair
) scored WHERE score IS NOT NULL AND reference_score > :least
ORDER BY at
"""


@dataclass(frozen=True)
class Audited:
    """One image drawn twice: the measured relative quality of a prompt at a level."""

    prompt: str
    level: str
    measured: float


def order_audits(session: Session, family: Family, most: int, within: timedelta = LOOK_BACK) -> uuid.UUID | None:
    """Order up to `most` twins at the reference level, of all levels in turn, to be drawn `within` this time.

    Returns their job, or none when there is nothing to audit.
    """
    since = datetime.now(UTC) - LOOK_BACK
    values = {"family": family.id, "reference": family.reference, "since": since, "most": most}
    originals = [session.get_one(Request, row.id) for row in session.execute(text(CANDIDATES), values)]
    if not originals:
        return None
    job = Job(
        id=uuid.uuid4(),
        family=family.id,
        tenant=ITSELF,
        source=SOURCE,
        service_class=ServiceClass.BATCH,
        size=len(originals),
        title="audit",
        created_at=datetime.now(UTC),
    )
    session.add(job)
    session.flush()
    twins = [_twin(original, place, family.reference) for place, original in enumerate(originals)]
    new_requests(session, job, twins, datetime.now(UTC) + within)
    return job.id


def audited(session: Session, family: Family, look_back: timedelta = LOOK_BACK) -> Sequence[Audited]:
    """What was drawn and scored twice, oldest first: by an audit, or by who asked for the reference level by name."""
    since = datetime.now(UTC) - look_back
    values = {"family": family.id, "reference": family.reference, "since": since, "least": LEAST_SCORE}
    rows = session.execute(text(PAIRS), values)
    return [Audited(row.prompt, row.level, row.score / row.reference_score) for row in rows]


def _twin(original: Request, place: int, reference: str) -> dict[str, Any]:
    same = ("prompt", "negative_prompt", "seed", "width", "height", "steps", "guidance")
    values = {name: getattr(original, name) for name in same}
    return {**values, "id": uuid.uuid4(), "position": place, "level_asked": reference}
