"""A month of use as rows, made by the database itself: jobs of every size, of several tenants, what became of them.

A row's id is the hash of its number, so that it lies anywhere in its index, as random ids do. The first job has a tenth
of all requests; of the others most have a few. Of a hundred requests one failed and one was cancelled; one in two
hundred is an audit: the request before it, drawn again at the reference level. Sums are made from the rows as the
migration makes them for a database that is upgraded.
"""

from __future__ import annotations

import json
import time
from importlib import import_module
from typing import Any

from psycopg2.extensions import connection as Connection

from core.families import Family

DAYS, TENANTS, WORKERS, PROMPTS = 30, 5, 8, 50_000
CHUNK = 250_000
LOOKED_FOR = "young pets"
# Where jobs begin among a thousand requests: twenty of them, from one request to 486.
JOBS_AT = (1, 2, 3, 4, 6, 8, 10, 14, 18, 26, 34, 50, 66, 98, 130, 194, 258, 386, 514)
TALLY = import_module("migrations.versions.0022_pre_tally")

NUMBERED = """
WITH numbered AS (
    SELECT i, i %% 200 = 0 AS audit, CASE WHEN i %% 200 = 0 THEN i - 1 ELSE i END AS original,
           CASE WHEN i <= %(big)s THEN 0
                ELSE i / 1000 * 20 + 1 + width_bucket(i %% 1000, %(jobs_at)s::bigint[]) END AS job,
           CASE WHEN i <= %(big)s THEN i - 1
                ELSE i %% 1000 - coalesce((%(jobs_at)s::bigint[])[width_bucket(i %% 1000, %(jobs_at)s::bigint[])], 0)
                END AS place,
           now() - make_interval(secs => %(days)s * 86400.0 * (1 - i / %(rows)s::float)) AS accepted
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) i
), known AS (
    SELECT *, md5('job' || job || audit)::uuid AS job_id, 'team-' || job %% %(tenants)s AS tenant,
           CASE WHEN audit THEN %(reference)s
                ELSE (%(levels)s::text[])[1 + i * 7 %% array_length(%(levels)s::text[], 1)] END AS level,
           CASE WHEN i %% 100 = 50 THEN 'failed' WHEN i %% 100 = 51 THEN 'cancelled' ELSE 'done' END AS state,
           accepted + make_interval(secs => 0.3 + i * 13 %% 70 / 10.0) AS started,
           accepted + make_interval(secs => 1.0 + i * 17 %% 120 / 10.0) AS stored
    FROM numbered
)
"""
REQUESTS = (
    NUMBERED
    + """
INSERT INTO request (id, job_id, position, tenant, family, prompt, negative_prompt, seed, width, height, steps,
    guidance, level_asked, deadline_at, service_class, state, level, epoch, predicted_quality, qualities, worker,
    attempts, accepted_at, routed_at, published_at, started_at, denoised_at, stored_at, scored_at, score, error_code,
    deadline_unreachable, custom_id)
SELECT md5('request' || i)::uuid, job_id, CASE WHEN audit THEN i ELSE place END, tenant, %(family)s,
    'a picture of thing number ' || original * 7919 %% %(prompts)s || ' on a table by a window, oil on canvas', '',
    original, 64, 64, 30, 4.0, CASE WHEN audit THEN %(reference)s ELSE 'auto' END, accepted + interval '12 seconds',
    CASE WHEN audit OR job = 0 THEN 'batch' ELSE 'interactive' END, state, level, 1, 0.97, %(qualities)s::jsonb,
    'cpu' || i %% %(workers)s || '@bench', 1, accepted, accepted, accepted, started,
    CASE WHEN state = 'done' THEN stored - interval '200 ms' END, CASE WHEN state = 'done' THEN stored END,
    CASE WHEN state = 'done' THEN stored + interval '1 second' END,
    CASE WHEN state = 'done' THEN 0.6 + 0.002 * (i * 31 %% 100) END,
    CASE WHEN state = 'failed' THEN 'generation_failed' END, false, 'own-' || i
FROM known
"""
)
ATTEMPTS = (
    NUMBERED
    + """
INSERT INTO attempt (id, request_id, number, worker, boot, level, model, outcome, batch_mean, batch_max, steps_run,
    steps_skipped, encode_s, wait_s, denoise_s, decode_s, started_at, ended_at)
SELECT md5('attempt' || i)::uuid, md5('request' || i)::uuid, 1, 'cpu' || i %% %(workers)s || '@bench',
    md5('boot')::uuid, level, %(models)s::jsonb ->> level, state, 1 + i %% 4, 4, 30, 0, 0.01, 0.0,
    CASE WHEN state = 'done' THEN 0.2 + i %% 30 / 20.0 END, 0.05, started, stored
FROM known
"""
)
IMAGES = (
    NUMBERED
    + """
INSERT INTO image (id, request_id, attempt_id, key, width, height, bytes, sha256, level, model, family_version,
    created_at)
SELECT md5('image' || i)::uuid, md5('request' || i)::uuid, md5('attempt' || i)::uuid, 'image' || i || '.png', 64, 64,
    9000, md5('a' || i) || md5('b' || i), level, %(models)s::jsonb ->> level, '1', stored
FROM known WHERE state = 'done'
"""
)
SCORES = (
    NUMBERED
    + """
INSERT INTO score (id, image_id, scorer, value, created_at)
SELECT md5('score' || i)::uuid, md5('image' || i)::uuid, 'clip 1', 0.6 + 0.002 * (i * 31 %% 100), stored
FROM known WHERE state = 'done'
"""
)
JOBS = """
INSERT INTO job (id, tenant, family, source, client, service_class, title, size, created_at, published_at)
SELECT job_id, min(tenant), %(family)s, CASE WHEN bool_or(level_asked <> 'auto') THEN 'audit' ELSE 'api' END,
    '127.0.0.1', min(service_class), 'job of ' || count(*), count(*), min(accepted_at), min(accepted_at)
FROM request GROUP BY job_id
"""
# Directions drawn at random: for an index of neighbours the hardest there are. What is looked for is one of them.
EMBEDDINGS = (
    "DROP INDEX ix_prompt_embedding_nearest",
    """
INSERT INTO prompt_embedding (tenant, digest, embedding)
SELECT tenant, digest, v.embedding FROM (
    SELECT DISTINCT tenant, md5(prompt)::uuid AS digest FROM request WHERE stored_at IS NOT NULL
) r CROSS JOIN LATERAL (
    SELECT l2_normalize(array_agg(random() + random() + random() - 1.5)::halfvec(384)) AS embedding
    FROM generate_series(1, 384) WHERE r.digest IS NOT NULL
) v
""",
    "SET LOCAL maintenance_work_mem = '1GB'",
    "CREATE INDEX ix_prompt_embedding_nearest ON prompt_embedding USING hnsw (embedding halfvec_cosine_ops)",
    f"INSERT INTO search_text SELECT md5('{LOOKED_FOR}')::uuid, '{LOOKED_FOR}', embedding "
    "FROM prompt_embedding LIMIT 1",
)
PLANS = """
INSERT INTO plan (family, policy, status, in_force, observed, decided, reason, seconds, created_at)
SELECT %(family)s, 'argus', 'optimal', i = %(plans)s, '{}', '{}', 'demand fits: everything is drawn at exact', 0.05,
    now() - make_interval(secs => 10.0 * (%(plans)s - i))
FROM generate_series(1, %(plans)s) i
"""
WORKING = """
INSERT INTO worker (name, boot, device, device_type, family, state, models, queues, stats)
SELECT 'cpu' || i || '@bench', md5('boot')::uuid, 'cpu:' || i, 'cpu', %(family)s, 'ready', '{}', '{}', '{}'
FROM generate_series(0, %(workers)s - 1) i
"""


def fill(connection: Connection, family: Family, rows: int) -> dict[str, float]:
    """Write so many requests and all that belongs to them; returns the seconds of each part.

    Triggers and foreign keys are off meanwhile (the user is the server's own); the sums of reports are made after it.
    """
    cheaper = [level for level in family.levels if level != family.reference]
    values: dict[str, Any] = {
        **{"rows": rows, "days": DAYS, "big": rows // 10, "tenants": TENANTS, "workers": WORKERS, "prompts": PROMPTS},
        **{"family": family.id, "reference": family.reference, "levels": [family.reference, *cheaper]},
        **{"plans": DAYS * 8640, "jobs_at": list(JOBS_AT)},
        "qualities": json.dumps({level: 1 - 0.01 * n for n, level in enumerate(family.levels)}),
        "models": json.dumps({level: about.model for level, about in family.levels.items()}),
    }
    seconds, begun = {}, time.perf_counter()
    with connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for first in range(1, rows + 1, CHUNK):
            part = {**values, "first": first, "last": min(first + CHUNK - 1, rows)}
            for statement in (REQUESTS, ATTEMPTS, IMAGES, SCORES):
                cursor.execute(statement, part)
        for statement in (JOBS, PLANS, WORKING):
            cursor.execute(statement, values)
    seconds["rows"], begun = time.perf_counter() - begun, time.perf_counter()
    with connection, connection.cursor() as cursor:
        for statement in EMBEDDINGS:
            cursor.execute(statement)
    seconds["embeddings"], begun = time.perf_counter() - begun, time.perf_counter()
    with connection, connection.cursor() as cursor:
        for statement in TALLY.HISTORY:
            cursor.execute(statement)
        cursor.execute("SELECT tally_fold()")
    seconds["sums"], begun = time.perf_counter() - begun, time.perf_counter()
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    seconds["vacuum"] = time.perf_counter() - begun
    return seconds
