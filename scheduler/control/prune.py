"""Jobs that have ended, and that are older than they are kept, are removed: rows first, then files, some at a time.
With the last image of a prompt its embedding goes. So are files of OpenAI's clients that have expired, and images to
begin with that no request names any more.

How long a job is kept is its tenant's own number of days, or ARGUS_RETENTION_DAYS. What a store that is away keeps of a
removed job, `scheduler.control.orphan_files` finds: no row names it any more.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import ARRAY, Text, bindparam, delete, select, text
from sqlalchemy.types import Uuid

from core.client_tables import ClientAction
from core.database import transaction
from core.errors import StoreDown
from core.images import ImageStore
from core.search_tables import digest_of
from core.settings import settings
from core.tables import Image, Job, Request
from core.tenant_tables import ITSELF

log = structlog.get_logger(__name__)
PORTION = 1_000  # requests of one transaction
TURN_S = 5.0  # of each minute
PAST = """
job.created_at < now() - make_interval(secs => 86400 * coalesce(tenant.retention_days, :days))
AND coalesce(tenant.retention_days, :days) > 0
AND (CAST(:tenant AS text) IS NULL OR job.tenant = :tenant)
AND NOT EXISTS (
    SELECT 1 FROM request r WHERE r.job_id = job.id AND r.state IN ('accepted', 'queued', 'running', 'paused')
)
"""
NEXT = text(f"""
SELECT job.id FROM job LEFT JOIN tenant ON tenant.name = job.tenant WHERE {PAST} ORDER BY job.created_at LIMIT 100
""")
COUNTED = text(f"""
SELECT job.tenant, count(DISTINCT job.id) AS jobs, count(DISTINCT r.id) AS requests, count(i.id) AS images,
       coalesce(sum(i.bytes), 0) AS bytes
FROM job LEFT JOIN tenant ON tenant.name = job.tenant LEFT JOIN request r ON r.job_id = job.id
LEFT JOIN image i ON i.request_id = r.id WHERE {PAST} GROUP BY 1 ORDER BY 1
""")

UNUSED = text("""
DELETE FROM prompt_embedding p USING unnest(:tenants, :digests) AS gone (tenant, digest)
WHERE p.tenant = gone.tenant AND p.digest = gone.digest AND NOT EXISTS (
    SELECT FROM request r WHERE r.tenant = p.tenant AND md5(r.prompt)::uuid = p.digest AND r.stored_at IS NOT NULL
)
""").bindparams(bindparam("tenants", type_=ARRAY(Text())), bindparam("digests", type_=ARRAY(Uuid())))

EXPIRED = text("""
DELETE FROM stored_file WHERE id IN (
    SELECT f.id FROM stored_file f WHERE f.expires_at <= now() AND NOT EXISTS (
        SELECT FROM batch b WHERE b.input_file_id = f.id
        AND (b.status = 'validating' OR (b.status = 'in_progress' AND b.lines_read < b.total))
    ) LIMIT 10
)
""")  # each has up to hundreds of megabytes


UNNAMED = text("""
DELETE FROM input_image WHERE id IN (
    SELECT i.id FROM input_image i WHERE i.used_at < now() - interval '1 day'
    AND NOT EXISTS (SELECT FROM request r WHERE r.source_id = i.id)
    AND NOT EXISTS (SELECT FROM request r WHERE r.mask_id = i.id)
    AND NOT EXISTS (SELECT FROM request r WHERE r.second_id = i.id)
    ORDER BY i.used_at LIMIT 100
) RETURNING key
""")


@dataclass(frozen=True)
class Prunable:
    """What of a tenant is older than it is kept."""

    tenant: str
    jobs: int
    requests: int
    images: int
    bytes: int


def prunable(days: float | None = None, tenant: str | None = None) -> list[Prunable]:
    """What would be removed, by tenant; `days` in place of ARGUS_RETENTION_DAYS."""
    with transaction() as session:
        return [Prunable(*row) for row in session.execute(COUNTED, _values(days, tenant))]


def prune(days: float | None = None, tenant: str | None = None, most_s: float = TURN_S) -> int:
    """Remove it, for at most so many seconds; returns how many requests that were."""
    store, end, removed = ImageStore(), time.monotonic() + most_s, 0
    remove_expired_files()
    remove_unnamed_inputs(store)
    for count in _removals(store, days, tenant):
        removed += count
        if time.monotonic() > end:
            break
    if removed:
        log.info("pruned", requests=removed)
    return removed


def remove_expired_files() -> int:
    """Some files of OpenAI's clients that have expired and that no batch is being read from; returns how many."""
    with transaction() as session:
        count: int = session.execute(EXPIRED).rowcount  # type: ignore[attr-defined]
    return count


def remove_unnamed_inputs(store: ImageStore) -> int:
    """Some images to begin with that no request names, a day after they were last used; returns how many."""
    with transaction() as session:
        keys = list(session.scalars(UNNAMED))
    _delete(store, keys)
    return len(keys)


def _removals(store: ImageStore, days: float | None, tenant: str | None) -> Iterator[int]:
    while jobs := _next(days, tenant):
        for job in jobs:
            yield from remove_job(store, job)


def remove_job(store: ImageStore, job_id: uuid.UUID) -> Iterator[int]:
    """Remove a job, some of its requests at a time, each with its images; yields how many, and itself at the end."""
    while count := _remove_some(store, job_id):
        yield count
    with transaction() as session:
        session.execute(delete(Job).where(Job.id == job_id))
        session.add(ClientAction(client=ITSELF, action="removed", job_id=job_id, details={"reason": "retention"}))
    yield 0


def _remove_some(store: ImageStore, job_id: uuid.UUID) -> int:
    with transaction() as session:
        some = select(Request.id).where(Request.job_id == job_id).order_by(Request.position).limit(PORTION)
        ids = list(session.scalars(some))
        keys = list(session.scalars(select(Image.key).where(Image.request_id.in_(ids))))
        prompts = set(session.execute(select(Request.tenant, digest_of(Request.prompt)).where(Request.id.in_(ids))))
        session.execute(delete(Request).where(Request.id.in_(ids)))
        session.execute(UNUSED, {"tenants": [t for t, _ in prompts], "digests": [digest for _, digest in prompts]})
    _delete(store, keys)
    return len(ids)


def _delete(store: ImageStore, keys: Sequence[str]) -> None:
    """Files whose rows are gone; those that cannot be deleted now are found as orphans."""
    try:
        for key in keys:
            store.delete(key)
    except (StoreDown, OSError) as error:
        log.warning("store away; its files are removed as orphans", error=str(error))


def _next(days: float | None, tenant: str | None) -> list[uuid.UUID]:
    with transaction() as session:
        return list(session.scalars(NEXT, _values(days, tenant)))


def _values(days: float | None, tenant: str | None) -> dict[str, float | str | None]:
    return {"days": settings().retention_days if days is None else days, "tenant": tenant}
