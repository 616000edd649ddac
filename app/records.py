"""Reading: rows as the answers and pages show them. Each function takes an open session and holds it briefly."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, literal, select, text
from sqlalchemy.orm import Session, selectinload

from app.schemas import (
    AttemptOut,
    CacheOut,
    ErrorDetail,
    ImageOut,
    JobList,
    JobOut,
    JobPage,
    LevelOut,
    LevelsOut,
    MeasuredOut,
    MinuteOut,
    PlanOut,
    PlanPage,
    QualityOut,
    ReportOut,
    RequestLine,
    RequestOut,
    TimesOut,
    WorkerOut,
)
from core import tables
from core.errors import NotFound
from core.families import Family
from core.settings import settings
from core.tables import OPEN_STATES, Assignment, Image, Job, Plan, Request, Score, State, Worker
from scheduler.observation.report import make_report

UNROUTED = "unrouted"
WANTED = Job.source != "audit"  # audits are our own second drawings, nobody's traffic
MINUTES = """
SELECT date_trunc('minute', accepted_at) AS minute, count(*) AS accepted, count(stored_at) AS stored,
       count(*) FILTER (WHERE violated) AS violations,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_s) AS latency_p95_s, avg(score) AS score_mean
FROM report_request WHERE source <> 'audit' AND accepted_at >= :since AND accepted_at < :until GROUP BY 1 ORDER BY 1
"""


def job_out(job: Job, counts: Counter[str]) -> JobOut:
    """A job with what its requests add up to."""
    unfinished = sum(counts[state] for state in OPEN_STATES)
    return JobOut(
        id=job.id,
        title=job.title,
        source=job.source,
        family=job.family,
        service_class=job.service_class,
        state=_job_state(counts, unfinished),
        size=job.size,
        counts={state.value: counts[state] for state in State},
        progress=1.0 - unfinished / job.size if job.size else 1.0,
        created_at=job.created_at,
        published_at=job.published_at,
        cancelled_at=job.cancelled_at,
        links=job_links(job.id),
    )


def _job_state(counts: Counter[str], unfinished: int) -> Any:
    if unfinished:
        return "waiting" if counts[State.ACCEPTED] + counts[State.QUEUED] == sum(counts.values()) else "running"
    if counts[State.CANCELLED]:
        return "cancelled"
    return "done" if counts[State.DONE] else "failed"


def job_links(job_id: uuid.UUID) -> dict[str, str]:
    """Where a job can be read, followed and seen."""
    return {"self": f"/v1/jobs/{job_id}", "events": f"/v1/jobs/{job_id}/events", "page": f"/jobs/{job_id}"}


def counts_of(session: Session, jobs: Iterable[uuid.UUID]) -> dict[uuid.UUID, Counter[str]]:
    """Requests by state, a job."""
    wanted = list(jobs)
    found: dict[uuid.UUID, Counter[str]] = {job: Counter() for job in wanted}
    query = select(Request.job_id, Request.state, func.count()).where(Request.job_id.in_(wanted))
    for job, state, count in session.execute(query.group_by(Request.job_id, Request.state)):
        found[job][state] = count
    return found


def find_job(session: Session, job_id: uuid.UUID) -> Job:
    """The job; raises `NotFound`."""
    job = session.get(Job, job_id)
    if job is None:
        raise NotFound(f"There is no job {job_id}.", field="id")
    return job


def job_page(session: Session, job_id: uuid.UUID, page: int = 1, per_page: int = 100) -> JobPage:
    """A job and one page of its requests, in order; raises `NotFound`."""
    job = find_job(session, job_id)
    head = job_out(job, counts_of(session, [job_id])[job_id])
    place = (page - 1) * per_page
    rows = lines().where(Request.job_id == job_id).order_by(Request.position).offset(place).limit(per_page)
    links = dict(head.links)
    if place + per_page < job.size:
        links["next"] = f"/v1/jobs/{job_id}?page={page + 1}&per_page={per_page}"
    given = {**head.model_dump(), "links": links}
    return JobPage(**given, page=page, per_page=per_page, requests=read_lines(session, rows))


def lines() -> Select[Any]:
    """Requests (and their jobs) with their newest image and its score, for `read_lines`."""
    image = (
        select(Image.id, Image.request_id, Image.created_at)
        .where(Image.request_id == Request.id)
        .order_by(Image.created_at.desc())
        .limit(1)
        .lateral("newest")
    )
    score = select(Score.value).where(Score.image_id == image.c.id).order_by(Score.created_at.desc()).limit(1).lateral()
    return (
        select(Request, image.c.id, score.c.value)
        .select_from(Request)
        .join(Job)
        .outerjoin(image, literal(True))
        .outerjoin(score, literal(True))
        .execution_options(populate_existing=True)
    )


def read_lines(session: Session, query: Select[Any]) -> list[RequestLine]:
    """What `lines()` finds."""
    return [_line(*row) for row in session.execute(query)]


def _line(request: Request, image_id: uuid.UUID | None, score: float | None) -> RequestLine:
    return RequestLine(
        id=request.id,
        position=request.position,
        prompt=request.prompt,
        seed=request.seed,
        state=request.state,
        level=request.level,
        image_id=image_id,
        stored_at=request.stored_at,
        latency_s=_seconds(request.accepted_at, request.stored_at),
        score=score,
        predicted_quality=request.predicted_quality,
        error_code=request.error_code,
        link=f"/v1/requests/{request.id}",
    )


def _seconds(start: datetime, end: datetime | None) -> float | None:
    return (end - start).total_seconds() if end else None


def job_list(session: Session, page: int = 1, per_page: int = 100) -> JobList:
    """Jobs that somebody sent, newest first."""
    total = session.scalar(select(func.count()).select_from(Job).where(WANTED)) or 0
    newest = select(Job).where(WANTED).order_by(Job.created_at.desc()).offset((page - 1) * per_page).limit(per_page)
    jobs = session.scalars(newest).all()
    counts = counts_of(session, [job.id for job in jobs])
    return JobList(total=total, page=page, per_page=per_page, jobs=[job_out(job, counts[job.id]) for job in jobs])


def gallery(
    session: Session, level: str | None = None, before: datetime | None = None, limit: int = 60
) -> list[RequestLine]:
    """Requests with an image, the last stored first; `before` continues where a page ended."""
    query = lines().where(WANTED, Request.stored_at.is_not(None))
    if level:
        query = query.where(Request.level == level)
    if before:
        query = query.where(Request.stored_at < before)
    return read_lines(session, query.order_by(Request.stored_at.desc()).limit(limit))


def request_line(session: Session, request_id: uuid.UUID) -> RequestLine:
    """One request as lists show it; raises `NotFound`."""
    found = read_lines(session, lines().where(Request.id == request_id))
    if not found:
        raise NotFound(f"There is no request {request_id}.", field="id")
    return found[0]


def request_out(session: Session, request_id: uuid.UUID) -> RequestOut:
    """Everything about a request; raises `NotFound`."""
    whole = (selectinload(Request.tries), selectinload(Request.images).selectinload(Image.scores))
    request = session.scalar(select(Request).where(Request.id == request_id).options(*whole))
    if request is None:
        raise NotFound(f"There is no request {request_id}.", field="id")
    images = [_image_out(image) for image in reversed(request.images)]
    image = images[0] if images else None
    last = request.tries[-1] if request.tries else None
    level = _level_of(request)
    links = {
        "self": f"/v1/requests/{request.id}",
        "job": f"/v1/jobs/{request.job_id}",
        "page": f"/requests/{request.id}",
    }
    if image:
        links["image"] = image.link
    return RequestOut(
        **{name: getattr(request, name) for name in AS_STORED},
        strategy=level.strategy if level else None,
        model=image.model if image else (level.model if level else None),
        reason=request.note,
        cache=CacheOut(
            hit=bool(last and last.cache_similarity is not None),
            similarity=last.cache_similarity if last else None,
            steps_skipped=(last.steps_skipped or 0) if last else 0,
        ),
        quality=QualityOut(
            floor=request.min_quality,
            predicted=request.predicted_quality,
            predicted_by_level=request.qualities,
            score=image.score if image else None,
            scorer=image.scorer if image else None,
        ),
        hopeless=request.deadline_unreachable,
        times=TimesOut.model_validate(request),
        latency_s=_seconds(request.accepted_at, request.stored_at),
        in_time=_in_time(request),
        attempts=[AttemptOut.model_validate(attempt) for attempt in request.tries],
        images=images,
        error=ErrorDetail(code=request.error_code, message=request.error or "") if request.error_code else None,
        links=links,
    )


AS_STORED = (
    *("id", "job_id", "position", "family", "service_class", "state", "prompt", "negative_prompt", "seed"),
    *(
        "width",
        "height",
        "steps",
        "guidance",
        "level_asked",
        "level",
        "epoch",
        "deadline_unreachable",
        "worker",
        "deadline_at",
    ),
)


def _in_time(request: Request) -> bool | None:
    """Whether the image was stored by its deadline; none while that is open, or nobody waits any more."""
    if request.stored_at:
        return request.stored_at <= request.deadline_at
    if request.state == State.CANCELLED:
        return None
    late = request.state == State.FAILED or datetime.now(UTC) > request.deadline_at
    return False if late else None


def _level_of(request: Request) -> Any:
    """The level's description, as long as the family file in force still has it."""
    family = known_family(request.family)
    return family.levels.get(request.level) if family and request.level else None


def known_family(family_id: str) -> Family | None:
    """The family served, when it is this one."""
    from core.families import load_family

    family = load_family(settings().family)
    return family if family.id == family_id else None


def _image_out(image: Image) -> ImageOut:
    newest = max(image.scores, key=lambda score: score.created_at, default=None)
    own = ("id", "width", "height", "bytes", "sha256", "level", "model", "family_version", "created_at")
    return ImageOut(
        **{name: getattr(image, name) for name in own},
        score=newest.value if newest else None,
        scorer=newest.scorer if newest else None,
        link=f"/v1/images/{image.id}",
    )


def find_image(session: Session, image_id: uuid.UUID) -> Image:
    """The image's row; raises `NotFound`."""
    image = session.get(Image, image_id)
    if image is None:
        raise NotFound(f"There is no image {image_id}.", field="id")
    return image


def levels_out(session: Session, family: Family) -> LevelsOut:
    """The family served, with what was measured of its levels on the types of device that have worked here."""
    from scheduler.observation.queries import profiles

    types = session.scalars(select(Worker.device_type).where(Worker.family == family.id).distinct())
    measured = profiles(family, types)
    levels = []
    for level in family.levels.values():
        steps, skipped = level.schedule(family.defaults.steps, family.defaults.steps)
        costs = {
            device: MeasuredOut.model_validate(profile.level(level.id))
            for device, profile in measured.items()
            if level.id in profile.ids
        }
        levels.append(
            LevelOut(
                id=level.id,
                strategy=level.strategy,
                model=level.model,
                queue=family.queue(level.id),
                steps=steps,
                steps_skipped=skipped,
                reference=level.id == family.reference,
                measured=costs,
            )
        )
    return LevelsOut(
        family=family.id,
        title=family.title,
        version=family.version,
        defaults=family.defaults.model_dump(),
        limits=family.limits.model_dump(),
        levels=levels,
    )


def plan_page(session: Session) -> PlanPage:
    """The plan in force, what waits and runs by level, and the workers."""
    plan = session.scalar(select(Plan).where(Plan.in_force).order_by(Plan.epoch.desc()).limit(1))
    return PlanPage(
        plan=PlanOut.model_validate(plan) if plan else None,
        waiting=_open_by_level(session, (State.ACCEPTED, State.QUEUED)),
        running=_open_by_level(session, (State.RUNNING,)),
        workers=workers(session),
    )


def _open_by_level(session: Session, states: Sequence[State]) -> dict[str, int]:
    level = func.coalesce(Request.level, UNROUTED)
    query = select(level, func.count()).where(Request.state.in_(states)).group_by(level).order_by(level)
    return dict(session.execute(query).all())


def workers(session: Session) -> list[WorkerOut]:
    """Workers by name, with what they hold and what they were told to."""
    stale = func.now() - timedelta(seconds=settings().stale_s)
    newest = select(Assignment.worker, Assignment.models).distinct(Assignment.worker)
    newest = newest.order_by(Assignment.worker, Assignment.id.desc())
    told = dict(session.execute(newest).all())
    query = select(Worker, Worker.seen_at < stale).order_by(Worker.name)
    return [_worker_out(worker, lost, told) for worker, lost in session.execute(query)]


def _worker_out(worker: tables.Worker, lost: bool, told: dict[str, list[str]]) -> WorkerOut:
    own = ("name", "device", "device_type", "models", "queues", "seen_at", "started_at")
    state = "lost" if lost and worker.state != "stopped" else worker.state
    return WorkerOut(**{name: getattr(worker, name) for name in own}, state=state, assigned=told.get(worker.name, []))


def report_out(session: Session, minutes: int) -> ReportOut:
    """Figures of the requests accepted in the last so many minutes (`cli/report.py`), and the same by minute."""
    until = datetime.now(UTC)
    since = until - timedelta(minutes=minutes)
    made = make_report(session, since, until)
    rows = session.execute(text(MINUTES), {"since": since, "until": until}).mappings()
    return ReportOut(
        since=since,
        until=until,
        images_per_minute=made.images_per_minute,
        total=made.total.as_dict(),
        levels={name: figures.as_dict() for name, figures in made.levels.items()},
        minutes=[MinuteOut.model_validate(dict(row)) for row in rows],
    )
