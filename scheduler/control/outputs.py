"""Results of jobs that are over, written where they asked for: images in order, then the manifest, which names those
that lie there.

It goes on where it was, whoever was ended meanwhile: how far it is lies in the row. A place that cannot be written is
tried again, ever more rarely, until somebody removes the job; the row says what went wrong.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import islice
from typing import IO, Any

import structlog
from sqlalchemy import func, select, update

from core.csv_cells import as_csv
from core.database import transaction
from core.errors import ArgusError, NotFound
from core.images import ImageStore
from core.outputs import JobOutput, check_allowed
from core.places import place_of
from core.results import COLUMNS, Result, as_json_line, results
from core.tables import OPEN_STATES, Job, Request

log = structlog.get_logger(__name__)
PORTION = 50  # images between two notes of how far it is
TURN_S = 2.0  # of every OUTPUTS_S
LEASE = timedelta(minutes=2)  # for which a job is one process's
LONGEST_S = 3600  # between two tries
ERROR_CHARS = 300
IMAGES = "/v1/images/"  # what addresses of images in the manifest begin with
MANIFESTS: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "manifest.csv": (as_csv(*COLUMNS), lambda row: as_csv(*row.values())),
    "manifest.jsonl": ("", as_json_line),
}


def write_outputs(most_s: float = TURN_S) -> int:
    """Write for about so many seconds; returns how many images that were."""
    end, written = time.monotonic() + most_s, 0
    while time.monotonic() < end and (job := _next()):
        try:
            written += _write(job, end)
        except Exception as error:  # each kind of place raises its own
            _failed(job, error)
    return written


def _next() -> uuid.UUID | None:
    """A job that is over and due, which is ours for LEASE."""
    is_open = select(Request.id).where(Request.job_id == JobOutput.job_id, Request.state.in_(OPEN_STATES)).exists()
    due = select(JobOutput.job_id).where(JobOutput.ended_at.is_(None), JobOutput.next_at <= func.now(), ~is_open)
    first = due.order_by(JobOutput.next_at).limit(1).with_for_update(skip_locked=True).scalar_subquery()
    with transaction() as session:
        ours = update(JobOutput).where(JobOutput.job_id == first).values(next_at=func.now() + LEASE)
        return session.scalar(ours.returning(JobOutput.job_id))


def _write(job_id: uuid.UUID, end: float) -> int:
    """Go on with a job until time is up; returns how many images were written."""
    with transaction() as session:
        output, tenant = session.get_one(JobOutput, job_id), session.get_one(Job, job_id).tenant
    check_allowed(output.url, tenant)
    place, root = place_of(output.url)
    place.makedirs(root, exist_ok=True)
    found, store, written = results(job_id, IMAGES, after=output.position), ImageStore(), 0
    while some := list(islice(found, PORTION)):
        count = sum(_put(place, f"{root}/{result.row['file']}", store, result) for result in some)
        written += count
        _note(job_id, position=some[-1].row["position"], written=JobOutput.written + count, failures=0)
        if time.monotonic() > end:
            _note(job_id, next_at=func.now())
            return written
    there = _files_in(place, root)
    for name, (head, line) in MANIFESTS.items():
        with place.open(f"{root}/{name}", "w", encoding="utf-8", newline="") as sink:
            _list(sink, head, (line(_row(result, there)) for result in results(job_id, IMAGES)))
    _note(job_id, ended_at=func.now(), error=None)
    log.info("results written", job=str(job_id), place=output.url)
    return written


def _put(place: Any, path: str, store: ImageStore, result: Result) -> bool:
    """Write an image; whether there is one."""
    if result.key is None:
        return False
    try:
        data = store.get(result.key)
    except NotFound:
        return False
    with place.open(path, "wb") as sink:
        sink.write(data)
    return True


def _files_in(place: Any, folder: str) -> set[str]:
    """Names of the files that lie there now."""
    place.invalidate_cache(folder)
    try:
        return {path.rpartition("/")[2] for path in place.ls(folder, detail=False)}
    except FileNotFoundError:  # a bucket has no empty folders
        return set()


def _row(result: Result, there: set[str]) -> dict[str, Any]:
    """A request's row; one whose image could not be written says that it has none."""
    return result.without_image if result.key and result.row["file"] not in there else result.row


def _list(sink: IO[str], head: str, lines: Iterator[str]) -> None:
    sink.write(head)
    for line in lines:
        sink.write(line)


def _failed(job_id: uuid.UUID, error: Exception) -> None:
    """Note what went wrong, and when it is tried again: after 2, 4, 8 … s."""
    said = error.message if isinstance(error, ArgusError) else f"{type(error).__name__}: {error}"
    log.warning("results not written", job=str(job_id), error=said)
    wait = func.make_interval(0, 0, 0, 0, 0, 0, func.least(LONGEST_S, func.power(2, JobOutput.failures + 1)))
    failures = func.least(JobOutput.failures + 1, 20)
    _note(job_id, error=said[:ERROR_CHARS], failures=failures, next_at=func.now() + wait)


def _note(job_id: uuid.UUID, **values: Any) -> None:
    with transaction() as session:
        session.execute(update(JobOutput).where(JobOutput.job_id == job_id).values(**values))
