"""A job's requests as a grid: a row a level, a column a seed; or some requests beside each other."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from statistics import fmean

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.access import owned
from app.links import link
from app.records.jobs import read_job
from app.records.lines import lines, read_lines, seconds_between
from app.schemas.compare import CellOut, ComparisonOut, RowOut
from app.schemas.requests import RequestLine
from core.families import load_family
from core.settings import settings
from core.tables import Attempt, Request

MOST = 400  # requests of one grid


def comparison(session: Session, job_id: uuid.UUID) -> ComparisonOut:
    """The requests of a job with the prompt of its first one; raises `NotFound`."""
    job, reference = read_job(session, job_id), load_family(settings().family).reference
    found = read_lines(session, lines().where(Request.job_id == job_id).order_by(Request.position).limit(MOST))
    found = [line for line in found if line.prompt == found[0].prompt]
    seeds = list(dict.fromkeys(line.seed for line in found))
    exact = {line.seed: line.score for line in found if _level(line) == reference}
    ids = [line.id for line in found]
    drawn, skipped = drawing_s(session, ids), steps_skipped(session, ids)
    cells = {
        (_level(line), line.seed): _cell(line, exact.get(line.seed), drawn.get(line.id), skipped.get(line.id))
        for line in found
    }
    rows = [_row(level, reference, [cells.get((level, seed)) for seed in seeds]) for level in _levels(found)]
    return ComparisonOut(
        id=job_id,
        prompt=found[0].prompt if found else "",
        seeds=seeds,
        progress=job.progress,
        levels=rows,
        links={"self": link(f"/v1/compare/{job_id}"), "page": link(f"/compare/{job_id}"), "job": job.links["self"]},
    )


def side_by_side(session: Session, ids: Sequence[uuid.UUID]) -> list[RequestLine]:
    """These requests, as far as the caller may see them, in the order of their ids here."""
    found = {line.id: line for line in read_lines(session, lines().where(Request.id.in_(ids)))}
    return [found[each] for each in ids if each in found]


def drawing_s(session: Session, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, float]:
    """Seconds from the start of drawing to the stored image, of those that have one."""
    times = owned(select(Request.id, Request.started_at, Request.stored_at).where(Request.id.in_(ids)))
    found = {id: seconds_between(start, end) for id, start, end in session.execute(times) if start}
    return {id: seconds for id, seconds in found.items() if seconds is not None}


def steps_skipped(session: Session, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Steps that a cached latent stood in for, of those that were drawn at a level that looks for one."""
    levels = load_family(settings().family).levels
    looking = [id for id, level in levels.items() if level.looks_up]
    drawn = select(Attempt.request_id, func.coalesce(Attempt.steps_skipped, 0)).join(Request)
    done = (Attempt.request_id.in_(ids), Attempt.outcome == "done", Attempt.level.in_(looking))
    return dict(session.execute(owned(drawn.where(*done)).order_by(Attempt.number)).all())


def _levels(found: Iterable[RequestLine]) -> list[str]:
    return list(dict.fromkeys(_level(line) for line in found))


def _level(line: RequestLine) -> str:
    """The level that was used or is chosen; of one that waits for its choice, what was asked for."""
    return line.level or line.level_asked


def _cell(line: RequestLine, exact: float | None, seconds: float | None, skipped: int | None) -> CellOut:
    own = ("seed", "state", "error_code", "image_id", "score", "predicted_quality", "latency_s", "link")
    return CellOut(
        **{name: getattr(line, name) for name in own},
        request_id=line.id,
        relative=line.score / exact if exact and line.score is not None else None,
        seconds=seconds,
        steps_skipped=skipped,
        image=link(f"/v1/images/{line.image_id}") if line.image_id else None,
    )


def _row(level: str, reference: str, cells: list[CellOut | None]) -> RowOut:
    means = {name: _mean(getattr(cell, name) for cell in cells if cell) for name in ("seconds", "score", "relative")}
    return RowOut(level=level, reference=level == reference, cells=cells, **means)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
