"""Jobs as answers and pages show them."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from app.access import owned
from app.links import link
from app.records.eta import ETAS
from app.records.lines import lines, read_lines
from app.records.selection import conditions, written
from app.schemas.jobs import EtaOut, JobList, JobOut, JobPage, OutputOut
from app.schemas.selection import Selection
from core.errors import NotFound
from core.outputs import JobOutput
from core.own_work import FROM_USERS
from core.tables import OPEN_STATES, Job, Request, State


def find_job(session: Session, job_id: uuid.UUID) -> Job:
    """The job, if the caller may see it; raises `NotFound`."""
    job = session.scalar(owned(select(Job).where(Job.id == job_id)))
    if job is None:
        raise NotFound(f"There is no job {job_id}.", field="id")
    return job


def read_job(session: Session, job_id: uuid.UUID) -> JobOut:
    """A job with the counts of its requests; raises `NotFound`."""
    job, counts = find_job(session, job_id), counts_of(session, [job_id])[job_id]
    return _job_out(session, job, counts, session.get(JobOutput, job_id))


def _job_out(session: Session, job: Job, counts: Counter[str], output: JobOutput | None) -> JobOut:
    unfinished = sum(counts[state] for state in OPEN_STATES)
    eta = ETAS.of(session, job.id) if unfinished > counts[State.PAUSED] else None
    return JobOut(
        id=job.id,
        title=job.title,
        source=job.source,
        family=job.family,
        service_class=job.service_class,
        state=_job_state(counts, unfinished),
        size=job.size,
        priority=job.priority,
        counts={state.value: counts[state] for state in State},
        progress=1.0 - unfinished / job.size if job.size else 1.0,
        eta=EtaOut.model_validate(eta) if eta else None,
        created_at=job.created_at,
        published_at=job.published_at,
        cancelled_at=job.cancelled_at,
        webhook=job.webhook["url"] if job.webhook else None,
        output=OutputOut.model_validate(output) if output else None,
        links=job_links(job.id),
    )


def _job_state(counts: Counter[str], unfinished: int) -> Any:
    if unfinished:
        if unfinished == counts[State.PAUSED]:
            return "paused"
        waiting = counts[State.ACCEPTED] + counts[State.QUEUED] + counts[State.PAUSED]
        return "waiting" if waiting == sum(counts.values()) else "running"
    if counts[State.CANCELLED]:
        return "cancelled"
    return "done" if counts[State.DONE] else "failed"


def job_links(job_id: uuid.UUID) -> dict[str, str]:
    """Where a job can be read, followed and seen."""
    paths = {"self": f"/v1/jobs/{job_id}", "events": f"/v1/jobs/{job_id}/events", "page": f"/jobs/{job_id}"}
    return {name: link(path) for name, path in paths.items()}


def counts_of(session: Session, jobs: Iterable[uuid.UUID]) -> dict[uuid.UUID, Counter[str]]:
    """How many requests of each job are in each state."""
    wanted = list(jobs)
    found: dict[uuid.UUID, Counter[str]] = {job: Counter() for job in wanted}
    query = select(Request.job_id, Request.state, func.count()).where(Request.job_id.in_(wanted))
    for job, state, count in session.execute(query.group_by(Request.job_id, Request.state)):
        found[job][state] = count
    return found


def job_page(
    session: Session, job_id: uuid.UUID, page: int = 1, per_page: int = 100, selection: Selection | None = None
) -> JobPage:
    """A job and one page of those of its requests that are selected, in order; raises `NotFound`."""
    job, which = read_job(session, job_id), conditions(selection or Selection())
    mine, first = (Request.job_id == job_id, *which), (page - 1) * per_page
    selected = (session.scalar(select(func.count()).select_from(Request).where(*mine)) or 0) if which else job.size
    rows = lines().where(_page_of(mine, first, per_page) if which else _places(job_id, first, per_page))
    if first + per_page < selected:
        said = written(selection) if selection else {}
        said |= {"page": str(page + 1), "per_page": str(per_page)}
        job.links["next"] = link(f"/v1/jobs/{job_id}?{urlencode(said)}")
    found = read_lines(session, rows.order_by(Request.position))
    return JobPage(**job.model_dump(), page=page, per_page=per_page, selected=selected, requests=found)


def _places(job_id: uuid.UUID, first: int, number: int) -> Any:
    """Requests of a job by their places, of which none is missing: a page far behind is found as fast as the first."""
    return and_(Request.job_id == job_id, Request.position >= first, Request.position < first + number)


def _page_of(which: Sequence[Any], first: int, number: int) -> Any:
    """So many of these requests; images are looked for of them alone, not of those before."""
    return Request.id.in_(select(Request.id).where(*which).order_by(Request.position).offset(first).limit(number))


def job_list(session: Session, page: int = 1, per_page: int = 100) -> JobList:
    """Jobs that somebody sent, as far as the caller may see them, newest first."""
    total = session.scalar(owned(select(func.count()).select_from(Job).where(FROM_USERS))) or 0
    newest = owned(select(Job).where(FROM_USERS)).order_by(Job.created_at.desc())
    jobs = session.scalars(newest.offset((page - 1) * per_page).limit(per_page)).all()
    ids = [job.id for job in jobs]
    counts = counts_of(session, ids)
    outputs = {each.job_id: each for each in session.scalars(select(JobOutput).where(JobOutput.job_id.in_(ids)))}
    found = [_job_out(session, job, counts[job.id], outputs.get(job.id)) for job in jobs]
    return JobList(total=total, page=page, per_page=per_page, jobs=found)
