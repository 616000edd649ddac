"""What is told: `{"type", "timestamp", "data"}`, as Standard Webhooks has it, with ids, what became of it, and links.

Links are whole addresses where ARGUS_PUBLIC_URL says how clients reach Argus, else paths.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.settings import settings
from core.tables import Image, Job, Request, State
from core.webhook_tables import WebhookEvent

JOB_DONE, REQUEST_DONE, REQUEST_FAILED, TEST = "job.done", "request.done", "request.failed", "webhook.test"
EVENTS = {
    JOB_DONE: "nothing of the job is open any more: all its requests are done, failed or cancelled",
    REQUEST_DONE: "an image is stored; again when it is drawn again at a better level",
    REQUEST_FAILED: "a request got no image",
}


def payload_of(session: Session, event: WebhookEvent) -> str:
    """The body that tells of an event: of a job or request that was removed, the ids are left."""
    about: dict[str, Any] = {}
    if event.request_id and (request := session.get(Request, event.request_id)):
        about = _request(session, request)
    elif event.job_id and not event.request_id and (job := session.get(Job, event.job_id)):
        about = _job(session, job)
    ids = {name: str(value) for name in ("job_id", "request_id") if (value := getattr(event, name))}
    told = {"type": event.type, "timestamp": event.created_at.isoformat(), "data": {**ids, **about}}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def _request(session: Session, request: Request) -> dict[str, Any]:
    newest = select(Image.id).where(Image.request_id == request.id).order_by(Image.created_at.desc()).limit(1)
    image = session.scalar(newest)
    failed = request.state == State.FAILED
    return {
        "custom_id": request.custom_id,
        "position": request.position,
        "state": request.state.value,
        "level": request.level,
        "seed": str(request.seed),  # as text: a reader in JavaScript would lose digits of a wide one
        "image": _link(f"/v1/images/{image}.png") if image else None,
        "error": {"code": request.error_code, "message": request.error} if failed else None,
        "link": _link(f"/v1/requests/{request.id}"),
    }


def _job(session: Session, job: Job) -> dict[str, Any]:
    counted = select(Request.state, func.count()).where(Request.job_id == job.id).group_by(Request.state)
    counts = {state.value: count for state, count in session.execute(counted)}
    state = next((each for each in ("cancelled", "done") if counts.get(each)), "failed")  # as the API says it
    return {
        "title": job.title,
        "state": state,
        "size": job.size,
        "counts": counts,
        "link": _link(f"/v1/jobs/{job.id}"),
        "results": _link(f"/v1/jobs/{job.id}/results.jsonl"),
    }


def _link(path: str) -> str:
    return f"{settings().public_url}{path}"
