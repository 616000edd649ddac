"""The prompts that a client sent lately."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.access import owned
from core.tables import Job, Request

JOBS, MOST_A_JOB = 40, 5  # that are looked at: the newest, and the first prompts of each


def prompts_of(session: Session, client: str, most: int) -> list[str]:
    """The client's own prompts as it wrote them, each once, the newest first."""
    mine = owned(select(Job.id, Job.created_at).where(Job.client == client))
    job = mine.order_by(Job.created_at.desc()).limit(JOBS).subquery()
    written = func.coalesce(Request.prompt_asked, Request.prompt)
    texts = select(written).join(job, job.c.id == Request.job_id).where(Request.position < MOST_A_JOB)
    rows = session.scalars(texts.order_by(job.c.created_at.desc(), Request.position))
    return list(dict.fromkeys(rows))[:most]
