"""Jobs of which nothing was done for longer than they are kept are removed: rows first, then files, some at a time.
None that is open, or whose results are still to be written where they asked for; a retry stops what is left of a
removal. With the last image of a prompt its embedding goes. So do files of OpenAI's clients that have expired, and
images to begin with that no request names any more.

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
Values = dict[str, float | str | None]
PORTION = 1_000  # requests of one transaction
TURN_S = 5.0  # of each minute
SINCE = "now() - make_interval(secs => 86400 * coalesce(tenant.retention_days, :days))"
ENDED = f"""
greatest(job.created_at, job.cancelled_at) < {SINCE}
AND coalesce(tenant.retention_days, :days) > 0
AND (CAST(:tenant AS text) IS NULL OR job.tenant = :tenant)
AND NOT EXISTS (
    SELECT FROM request r WHERE r.job_id = job.id AND r.state IN ('accepted', 'queued', 'running', 'paused')
)
AND NOT EXISTS (SELECT FROM job_output o WHERE o.job_id = job.id AND o.ended_at IS NULL)
AND NOT EXISTS (SELECT FROM client_action c WHERE c.job_id = job.id AND c.at >= {SINCE})
"""
LAST = "(SELECT max(greatest(r.accepted_at, r.stored_at)) FROM request r WHERE r.job_id = job.id)"
PAST = f"{ENDED} AND coalesce({LAST}, job.created_at) < {SINCE}"
NEXT = text(f"""
SELECT job.id FROM job LEFT JOIN tenant ON tenant.name = job.tenant WHERE {PAST} ORDER BY job.created_at LIMIT 100
""")
# What may have become otherwise since a job was listed: somebody did something to it.
STILL = text(f"SELECT FROM job LEFT JOIN tenant ON tenant.name = job.tenant WHERE job.id = :job AND {ENDED}")
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
            while count := _remove_some(store, job, _values(days, tenant)):
                yield count
            yield 0


def _remove_some(store: ImageStore, job_id: uuid.UUID, values: Values) -> int:
    """Remove some of a job's requests with their images, after the last the job itself; returns how many that were.

    Whoever moves requests of a job locks it first, and notes that: until the end of this nobody does.
    """
    with transaction() as session:
        session.execute(select(Job.id).where(Job.id == job_id).with_for_update())
        if session.execute(STILL, {**values, "job": job_id}).first() is None:
            return 0
        some = select(Request.id).where(Request.job_id == job_id).order_by(Request.position).limit(PORTION)
        ids = list(session.scalars(some))
        if not ids:
            session.execute(delete(Job).where(Job.id == job_id))
            session.add(ClientAction(client=ITSELF, action="removed", job_id=job_id, details={"reason": "retention"}))
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


def _values(days: float | None, tenant: str | None) -> Values:
    return {"days": settings().retention_days if days is None else days, "tenant": tenant}
