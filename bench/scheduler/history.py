"""A history of requests that never were, as rows: jobs, requests, attempts, images and scores over the past days.

Made by the database itself. A row's id is the hash of its number, so that it lies anywhere in its index, as random ids
do. Every `AUDITED`th request is an audit: the request before it, drawn again at the reference level. Of the others one
in `RARE` is at that level, as on a system that has long had too much to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import text

from core.database import transaction

CHUNK = 500_000  # rows a statement
PER_JOB = 100
AUDITED, RARE = 200, 500
PROMPTS = 50_000  # different ones

# What all statements know of request number i.
NUMBERED = f"""
WITH numbered AS (
    SELECT i, i % {AUDITED} = 0 AS audit, CASE WHEN i % {AUDITED} = 0 THEN i - 1 ELSE i END AS original,
           now() - make_interval(secs => :days * 86400.0 * (1 - i / CAST(:rows AS float))) AS accepted
    FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) i
), known AS (
    SELECT *, CASE WHEN audit THEN :reference WHEN i % {RARE} = 0 THEN :reference
                ELSE (CAST(:levels AS text[]))[1 + i % :count] END AS level,
           accepted + make_interval(secs => 0.5 + i % 4) AS stored
    FROM numbered
)
"""
JOBS = f"""
INSERT INTO job (id, family, source, service_class, size, created_at, published_at)
SELECT md5('job' || j || kind)::uuid, :family, kind, 'interactive', {PER_JOB}, at, at
FROM generate_series(0, CAST(:rows AS bigint) / {PER_JOB}) j
CROSS JOIN unnest(ARRAY['api', 'audit']) kind
CROSS JOIN LATERAL (
    SELECT now() - make_interval(secs => :days * 86400.0 * (1 - j * {PER_JOB} / CAST(:rows AS float)))
) t(at)
"""
REQUESTS = f"""
{NUMBERED}
INSERT INTO request (id, job_id, position, family, prompt, negative_prompt, seed, width, height, steps, guidance,
    level_asked, deadline_at, service_class, state, level, epoch, predicted_quality, qualities, worker, attempts,
    deadline_unreachable, accepted_at, routed_at, published_at, started_at, denoised_at, stored_at, scored_at, score)
SELECT md5('request' || i)::uuid, md5('job' || i / {PER_JOB} || CASE WHEN audit THEN 'audit' ELSE 'api' END)::uuid,
    i % {PER_JOB}, :family, 'a picture of thing number ' || original % {PROMPTS} || ' on a table by a window',
    '', original, 64, 64, 30, 4.0, CASE WHEN audit THEN :reference ELSE 'auto' END,
    accepted + interval '4 seconds', CASE WHEN audit THEN 'batch' ELSE 'interactive' END, 'done', level, 1, 0.97,
    CAST(:qualities AS jsonb), 'cpu' || i % 1000 || '@bench', 1, false, accepted, accepted, accepted, accepted,
    stored, stored, stored + interval '1 second',
    0.7 + 0.001 * (i % 100)
FROM known
"""
ATTEMPTS = f"""
{NUMBERED}
INSERT INTO attempt (id, request_id, number, worker, boot, level, model, outcome, batch_mean, batch_max, steps_run,
    steps_skipped, encode_s, wait_s, denoise_s, decode_s, started_at, ended_at)
SELECT md5('attempt' || i)::uuid, md5('request' || i)::uuid, 1, 'cpu' || i % 1000 || '@bench', md5('boot')::uuid,
    level, 'large', 'done', 1, 1, 30, 0, 0.01, 0.0, 0.4, 0.05, accepted, stored
FROM known
"""
IMAGES = f"""
{NUMBERED}
INSERT INTO image (id, request_id, attempt_id, key, width, height, bytes, sha256, level, model, family_version,
    created_at)
SELECT md5('image' || i)::uuid, md5('request' || i)::uuid, md5('attempt' || i)::uuid, 'image' || i || '.png', 64, 64,
    9000, md5('a' || i) || md5('b' || i), level, 'large', '1', stored
FROM known
"""
SCORES = f"""
{NUMBERED}
INSERT INTO score (id, image_id, scorer, value, created_at)
SELECT md5('score' || i)::uuid, md5('image' || i)::uuid, 'clip 1', 0.7 + 0.001 * (i % 100), stored
FROM known
"""


def fill(family: str, reference: str, levels: Sequence[str], rows: int, days: float) -> Iterator[int]:
    """Write `rows` finished requests of the past `days`, and what belongs to them; yields how many there are so far.

    Foreign keys are not checked (the user is the server's own, as in a database of one's own).
    """
    values = {
        **{"family": family, "reference": reference, "rows": rows, "days": days, "qualities": _json(levels)},
        **{"levels": [level for level in levels if level != reference], "count": len(levels) - 1},
    }
    _execute([JOBS], values)
    for first in range(1, rows + 1, CHUNK):
        last = min(first + CHUNK - 1, rows)
        _execute([REQUESTS, ATTEMPTS, IMAGES, SCORES], {**values, "first": first, "last": last})
        yield last


def _execute(statements: Sequence[str], values: dict[str, object]) -> None:
    with transaction() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in statements:
            session.execute(text(statement), values)


def _json(levels: Sequence[str]) -> str:
    return "{" + ", ".join(f'"{level}": {1 - 0.01 * place:.4f}' for place, level in enumerate(levels)) + "}"
