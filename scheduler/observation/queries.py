"""What the scheduler observes: rows of PostgreSQL as plain numbers. Nothing is decided here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Text, and_, case, column, func, or_, select, text, true, values
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core import tables
from core.devices import profile_path
from core.errors import BadProfile
from core.families import Family
from core.kinds import OWN
from core.open_requests import in_foreground
from core.profiles import Profile, read_profile
from core.settings import settings
from core.tables import Attempt, Request, ServiceClass, State
from scheduler.observation.calibration import Timing

log = structlog.get_logger(__name__)
NAMED_S = 60.0  # how far back the demand for named levels is counted
TIMINGS = 60  # recent attempts that correct the profile: enough for a median, few enough to notice change
EACH, TELLING = 12, 20  # at least so many of a worker, and of at most so many workers


RELATIVE_SCORES = """
WITH recent AS (
    SELECT s.value, i.level, r.prompt
    FROM image i JOIN score s ON s.image_id = i.id JOIN request r ON r.id = i.request_id
    WHERE r.family = :family AND r.source_id IS NULL ORDER BY i.created_at DESC LIMIT 1000
), reference AS (SELECT prompt, avg(value) AS value FROM recent WHERE level = :reference GROUP BY prompt),
average AS (SELECT avg(value) AS value FROM recent WHERE level = :reference)
SELECT recent.level, recent.value / coalesce(reference.value, average.value)
FROM recent LEFT JOIN reference ON reference.prompt = recent.prompt CROSS JOIN average
WHERE recent.level <> :reference AND coalesce(reference.value, average.value) > 0.05
"""


@dataclass(frozen=True)
class LiveWorker:
    """A worker that takes requests: it is ready and its heartbeat recent. `memory_mb` is what it has for models."""

    name: str
    device_type: str
    models: tuple[str, ...]
    queues: tuple[str, ...]
    memory_mb: float | None = None


def live_workers(session: Session, family: Family) -> list[LiveWorker]:
    """Workers of this family that serve now, by name."""
    fresh = tables.Worker.seen_at > func.now() - timedelta(seconds=settings().stale_s)
    worker = tables.Worker
    columns = (worker.name, worker.device_type, worker.models, worker.queues, worker.stats["memory_mb"].as_float())
    query = select(*columns).where(worker.family == family.id, worker.state == "ready", fresh).order_by(worker.name)
    return [LiveWorker(n, kind, tuple(held), tuple(queues), mb) for n, kind, held, queues, mb in session.execute(query)]


def memory_by_type(workers: Sequence[LiveWorker]) -> dict[str, float]:
    """MB for models on the smallest worker of each device type; types whose workers do not tell are left out."""
    found: dict[str, float] = {}
    for worker in workers:
        if worker.memory_mb:
            found[worker.device_type] = min(worker.memory_mb, found.get(worker.device_type, worker.memory_mb))
    return found


def waiting_by_level(session: Session, family: Family, named: bool | None = None) -> dict[str, int]:
    """Queued requests with a latency target that can still be met, by level.

    Args:
        named: only those that asked for their level by name (True), only the others (False), or both (None).
    """
    which = [in_foreground()]
    if named is not None:
        which.append(named_level() if named else ~named_level())
    return _by_level(session, family, State.QUEUED, *which)


def named_rates(session: Session, family: Family) -> dict[str, float]:
    """Requests a second that ask for a level by name, by level, over the last `NAMED_S` seconds.

    One of a kind of its own counts as so many usual ones as it takes (`core.kinds`).
    """
    recent = Request.accepted_at > func.now() - timedelta(seconds=NAMED_S)
    taken = case(*((Request.own_kind == kind, needs.length) for kind, needs in OWN.items()), else_=1.0)
    query = select(Request.level_asked, func.sum(taken)).where(Request.family == family.id, recent, named_level())
    query = query.where(Request.service_class == ServiceClass.INTERACTIVE).group_by(Request.level_asked)
    return {level: n / NAMED_S for level, n in session.execute(query) if level in family.levels}


def named_level() -> ColumnElement[bool]:
    """The request names its level."""
    return Request.level_asked != "auto"


def levels_asked_for(session: Session, family: Family) -> set[str]:
    """Levels that queued requests ask for by name."""
    return set(_by_level(session, family, State.QUEUED, named_level()))


def running_by_level(session: Session, family: Family) -> dict[str, int]:
    """Running requests with a latency target, by level."""
    return _by_level(session, family, State.RUNNING, in_foreground())


def background_by_level(session: Session, family: Family) -> dict[str, int]:
    """Queued requests that fill idle workers, by level: batch work that has time, and missed deadlines."""
    return _by_level(session, family, State.QUEUED, ~in_foreground())


def cancelled_running(session: Session, family: Family) -> int:
    """Requests that workers are at though they were cancelled, alone or with their job."""
    unwanted = or_(Request.state == State.CANCELLED, tables.Job.cancelled_at.is_not(None))
    query = select(func.count()).select_from(Attempt).join(Request).join(tables.Job)
    return session.scalar(query.where(Attempt.outcome.is_(None), Request.family == family.id, unwanted)) or 0


def _by_level(session: Session, family: Family, state: State, *which: ColumnElement[bool]) -> dict[str, int]:
    query = select(Request.level, func.count()).where(Request.family == family.id, Request.state == state, *which)
    return {level: count for level, count in session.execute(query.group_by(Request.level)) if level in family.levels}


def timings(session: Session, family: Family, device_type: str) -> list[Timing]:
    """What recent attempts on this type of device took, worker by worker, newest first.

    Not as profiled are those of another size, those with LoRAs, whose ratio the profile has, and those that begin with
    an image, whose encoding it has not; those drawn in a parallel mode have no times of steps. Of a large fleet some
    workers tell, others at the next tick.
    """
    recent = func.now() - timedelta(minutes=10)
    serving = select(tables.Worker.name).where(tables.Worker.device_type == device_type)
    serving = serving.where(tables.Worker.family == family.id, tables.Worker.seen_at > recent)
    workers = list(session.scalars(serving.order_by(func.random()).limit(TELLING)))
    if not workers:
        return []
    told = values(column("name", Text), name="told").data([(name,) for name in workers]).alias("told")
    newest = (
        select(Attempt)
        .where(Attempt.worker == told.c.name, Attempt.outcome == "done", Attempt.ended_at > recent)
        .where(Attempt.step_s.is_not(None), Attempt.parallel.is_(None))
        .order_by(Attempt.ended_at.desc())
        .limit(max(EACH, TIMINGS // len(workers)))
        .lateral("newest")
    )
    width, height = Request.width == family.defaults.width, Request.height == family.defaults.height
    as_profiled = and_(width, height, Request.loras.is_(None), Request.source_id.is_(None))
    began, ended = (func.extract("epoch", each) for each in (newest.c.started_at, newest.c.ended_at))
    names = ("level", "step_s", "work_s", "steps_run", "batch_mean", "share_s", "worker")
    columns = [*(newest.c[name] for name in names), began, ended, as_profiled]
    query = select(*columns).select_from(told).join(newest, true())
    query = query.join(Request, Request.id == newest.c.request_id)
    return [
        Timing(level, step_s, work_s, steps, rows or 1.0, share_s, worker, float(start), float(end), plain)
        for level, step_s, work_s, steps, rows, share_s, worker, start, end, plain in session.execute(query)
    ]


def preparations(session: Session, device_type: str) -> tuple[list[float], list[float]]:
    """Seconds of preparation (encoding, look-up) of recent attempts: those that started from the cache, the others."""
    query = (
        select(Attempt.encode_s, Attempt.cache_similarity.is_not(None))
        .join(tables.Worker, tables.Worker.name == Attempt.worker)
        .where(Attempt.outcome == "done", Attempt.encode_s.is_not(None), tables.Worker.device_type == device_type)
        .where(Attempt.ended_at > func.now() - timedelta(minutes=10))
        .order_by(Attempt.ended_at.desc())
        .limit(TIMINGS)
    )
    found: tuple[list[float], list[float]] = ([], [])
    for seconds, hit in session.execute(query):
        found[0 if hit else 1].append(float(seconds or 0.0))
    return found


def unread_batch(session: Session, family: Family) -> list[tuple[float, int]]:
    """Batch work that is accepted and not queued yet: deadlines (Unix seconds), and how many requests have each."""
    deadline = func.extract("epoch", Request.deadline_at)
    waiting = (Request.state == State.ACCEPTED, Request.family == family.id)
    query = select(deadline, func.count()).where(*waiting, Request.service_class == ServiceClass.BATCH)
    return [(float(at), count) for at, count in session.execute(query.group_by(Request.deadline_at))]


def fetch_s(session: Session, family: Family, device_type: str) -> float | None:
    """Seconds of a fetch from the latent cache, by the newest of the workers of a type; None where none has fetched."""
    told = [state["newest_fetch_s"] for state in _caches(session, family, device_type) if not state["away"]]
    return median(seconds for seconds in told if seconds is not None) if any(told) else None


def cache_is_away(session: Session, family: Family) -> bool:
    """Whether most workers that have a latent cache get no answer from it."""
    told = [state["away"] for state in _caches(session, family)]
    return bool(2 * sum(told) > len(told))


def _caches(session: Session, family: Family, device_type: str | None = None) -> list[dict[str, Any]]:
    """What live workers say of the latent cache; those of an earlier version say nothing of this."""
    worker = tables.Worker
    fresh = worker.seen_at > func.now() - timedelta(seconds=settings().stale_s)
    query = select(worker.stats["cache"]).where(worker.family == family.id, worker.state == "ready", fresh)
    if device_type is not None:
        query = query.where(worker.device_type == device_type)
    return [state for state in session.scalars(query) if state and "away" in state]


def relative_scores(session: Session, family: Family) -> dict[str, list[float]]:
    """Scores of recent images relative to the reference level's, by level.

    The divisor is the reference level's score of the same prompt where it was drawn there too, else its mean score.
    """
    found: dict[str, list[float]] = {}
    for level, score in session.execute(text(RELATIVE_SCORES), {"family": family.id, "reference": family.reference}):
        found.setdefault(level, []).append(float(score))
    return found


def profiles(family: Family, device_types: Iterable[str], strict: bool = False) -> dict[str, Profile]:
    """The measured profile of each device type that has one, with the levels that the family still has.

    A file that has become unreadable is logged, and the profile last read from it stays in force; with `strict` it
    raises `BadProfile`.
    """
    found = {}
    for device_type in sorted(set(device_types)):
        path = profile_path(family, device_type)
        if not path.is_file():
            continue
        try:
            _last_read[path] = _profile(str(path), path.stat().st_mtime_ns, *_levels(family))
        except BadProfile as error:
            if strict:
                raise
            log.warning("profile cannot be read", path=str(path), error=error.message, before=path in _last_read)
        if path in _last_read:
            found[device_type] = _last_read[path]
    return found


_last_read: dict[Path, Profile] = {}


@lru_cache(maxsize=32)
def _profile(path: str, _changed: int, planned: frozenset[str], named: frozenset[str]) -> Profile:
    return read_profile(path).known_to(planned, named)


def _levels(family: Family) -> tuple[frozenset[str], frozenset[str]]:
    """Those to plan with, and those that are drawn by name alone, whatever a profile says that was made before."""
    named = frozenset(level.id for level in family.levels.values() if level.by_name)
    return frozenset(family.levels) - named, named


def remember_profiles(session: Session, measured: Mapping[str, Profile]) -> None:
    """Store each profile that comes into force as a row, once (by the digest of its content)."""
    for profile in measured.values():
        content = profile.model_dump_json(exclude_defaults=True)
        row = {
            "family": profile.family,
            "device": profile.device,
            "digest": hashlib.sha256(content.encode()).hexdigest(),
            "content": profile.model_dump(mode="json", exclude_defaults=True),
        }
        session.execute(insert(tables.Profile).values(row).on_conflict_do_nothing())
