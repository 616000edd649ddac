"""Missing images are drawn again, so that their addresses work again.

::

    missing ──order──▶ being drawn ──take over──▶ whole
       │                    │                       ▲
       └──── its file is back, or was put back ─────┘

The row stays what it is. A request of Argus's own, as an audit is one, draws the same prompt and seed at the same level
as batch work; its file is copied to where the lost one was, and it goes. An image of another version of the family, or
of a level that is no more, stays missing: what would be drawn now is another picture. So does one whose redraw failed.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session, aliased

from core.database import transaction
from core.errors import NotFound
from core.families import Family
from core.images import ImageStore
from core.own_work import SOURCE
from core.publishing import publish_jobs
from core.requests import new_requests
from core.settings import settings
from core.tables import OPEN_STATES, Image, Job, Request, ServiceClass, State
from core.tenant_tables import ITSELF
from scheduler.control.missing_files import is_whole

log = structlog.get_logger(__name__)
OPEN = 100  # images drawn again at one time
LOOKED_AT = 200  # marked images a turn
TITLE = "redrawn"
SAME = (
    *("prompt", "negative_prompt", "emphasis", "loras", "seed", "width", "height", "steps", "guidance"),
    *("source_id", "mask_id", "second_id", "operator", "own_kind", "strength", "parallel"),
)


class Redrawing:
    """Draws the missing images of one family again."""

    def __init__(self, family: Family, store: ImageStore) -> None:
        self.family, self.store = family, store

    def turn(self) -> int:
        """Take over what was drawn, order what was not; returns how many images are whole again. Raises `StoreDown`."""
        whole = sum(self._settle(image_id) for image_id in self._marked())
        jobs = self._order()
        publish_jobs(jobs)
        if whole or jobs:
            log.info("missing images", whole_again=whole, ordered=len(jobs))
        return whole

    def _marked(self) -> list[uuid.UUID]:
        query = select(Image.id).where(Image.missing_at.is_not(None)).order_by(func.random()).limit(LOOKED_AT)
        with transaction() as session:
            return list(session.scalars(query))

    def _settle(self, image_id: uuid.UUID) -> bool:
        """Whether a marked image is whole: its file is back, or the one that was drawn has taken its place."""
        with transaction() as session:
            image = session.get(Image, image_id)
            drawn = _drawn(session, image) if image is not None else None
        if image is None:
            return False
        if is_whole(self.store, image):
            return _whole(image, image.bytes, image.sha256)
        if drawn is None or drawn.level != image.level:
            return False
        try:
            stored = self.store.write(image.key, self.store.get(drawn.key, drawn.sha256))
        except NotFound:  # lost too: it is marked in its turn
            return False
        if _whole(image, stored.bytes, stored.sha256):
            self.store.delete(drawn.key)
        return True

    def _order(self) -> list[uuid.UUID]:
        """Requests for marked images that nobody draws yet; returns their jobs."""
        with transaction() as session:
            open_redraws = select(func.count()).select_from(Image).join(Request, Request.id == Image.redraw_id)
            waiting = (Image.missing_at.is_not(None), Request.state.in_(OPEN_STATES))
            room = OPEN - (session.scalar(open_redraws.where(*waiting)) or 0)
            lost = (
                select(Image, Request)
                .join(Request, Request.id == Image.request_id)
                .where(Image.missing_at.is_not(None), ~_is_ordered())
                .where(Request.family == self.family.id, Image.family_version == self.family.version)
                .where(Image.level.in_(list(self.family.levels)))
                .order_by(Image.missing_at)
                .limit(max(0, room))
                .with_for_update(of=Image, skip_locked=True)
            )
            return [_ordered(session, image, request) for image, request in session.execute(lost)]


def _is_ordered() -> ColumnElement[bool]:
    """Whether there is a request that draws an `Image` again, or could not."""
    redraw = aliased(Request)
    return select(redraw.id).where(redraw.id == Image.redraw_id).exists()


def _drawn(session: Session, image: Image) -> Image | None:
    """The image that was drawn for a marked one, once it is."""
    done = select(Image).join(Request, Request.id == Image.request_id)
    mine = done.where(Request.id == image.redraw_id, Request.state == State.DONE)
    return session.scalar(mine.order_by(Image.created_at.desc()).limit(1))


def _whole(image: Image, size: int, sha256: str) -> bool:
    """The file is there again, so many bytes of this checksum; what was to draw it goes."""
    values = {"missing_at": None, "redraw_id": None, "bytes": size, "sha256": sha256}
    with transaction() as session:
        session.execute(update(Image).where(Image.id == image.id).values(values))
        if image.redraw_id is not None:
            job = select(Request.job_id).where(Request.id == image.redraw_id).scalar_subquery()
            session.execute(delete(Job).where(Job.id == job, Job.source == SOURCE))
    return True


def _ordered(session: Session, image: Image, request: Request) -> uuid.UUID:
    """A job with one request, for the same picture."""
    now = datetime.now(UTC)
    about = {"source": SOURCE, "title": TITLE, "service_class": ServiceClass.BATCH, "size": 1, "created_at": now}
    job = Job(id=uuid.uuid4(), family=request.family, tenant=ITSELF, **about)
    session.add(job)
    session.flush()
    image.redraw_id = uuid.uuid4()
    same = {name: getattr(request, name) for name in SAME}
    row = {**same, "id": image.redraw_id, "position": 0, "level_asked": image.level}
    new_requests(session, job, [row], now + timedelta(seconds=settings().batch_window_s))
    return job.id
