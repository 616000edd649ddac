"""Images as the gallery shows them: the newest first, or those first whose prompt means most nearly what was said."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Float, Subquery, cast, select, text, true
from sqlalchemy.orm import Session

from app.access import caller, owned
from app.records.lines import line_of, lines, read_lines
from app.records.selection import conditions
from app.schemas.requests import RequestLine
from app.schemas.selection import Selection
from core.own_work import FROM_USERS
from core.search_tables import PromptEmbedding, SearchText, digest_of
from core.tables import Job, Request

PROMPTS = 300  # the nearest are looked at
OF_A_PROMPT = 4  # images, the newest: else one that is drawn daily would fill the page
LOOK_BACK = 200  # images of a prompt among which those that are selected are looked for
# An index scan goes on until it has enough of a tenant's.
SEARCH = f"SET LOCAL hnsw.ef_search = {PROMPTS}; SET LOCAL hnsw.iterative_scan = strict_order"


def newest_images(
    session: Session,
    selection: Selection,
    before: datetime | None = None,
    after: datetime | None = None,
    limit: int = 60,
) -> list[RequestLine]:
    """Selected requests with an image, the newest first: of all, of those stored `before` a time, or the first of those
    stored `after` one."""
    query = lines().where(FROM_USERS, Request.stored_at.is_not(None), *conditions(selection)).limit(limit)
    if after:
        return read_lines(session, query.where(Request.stored_at > after).order_by(Request.stored_at))[::-1]
    if before:
        query = query.where(Request.stored_at < before)
    return read_lines(session, query.order_by(Request.stored_at.desc()))


def nearest_images(session: Session, selection: Selection, digest: uuid.UUID, limit: int = 60) -> list[RequestLine]:
    """Selected requests with an image, by how near their prompt is to the text of this digest (`app.searching`)."""
    session.execute(text(SEARCH))
    found = _images(_prompts(digest, selection.tenant), selection, limit)
    query = lines().add_columns(found.c.distance).join(found, found.c.id == Request.id)
    query = query.order_by(found.c.distance, Request.stored_at.desc())
    return [
        line_of(*row).model_copy(update={"similarity": round(1 - distance, 4)})
        for *row, distance in session.execute(query)
    ]


def _prompts(digest: uuid.UUID, tenant: str | None) -> Subquery:
    """The nearest prompts that the caller may see."""
    wanted = select(SearchText.embedding).where(SearchText.digest == digest).scalar_subquery()
    distance = cast(PromptEmbedding.embedding.cosine_distance(wanted), Float).label("distance")
    nearest: Any = owned(select(PromptEmbedding.tenant, PromptEmbedding.digest, distance))
    if tenant and not caller().only:
        nearest = nearest.where(PromptEmbedding.tenant == tenant)
    found: Subquery = nearest.order_by(PromptEmbedding.embedding.cosine_distance(wanted)).limit(PROMPTS).subquery()
    return found


def _images(prompts: Subquery, selection: Selection, limit: int) -> Subquery:
    """Selected requests among the newest of each of these prompts, nearest prompts first."""
    of_prompt = (Request.tenant == prompts.c.tenant, digest_of(Request.prompt) == prompts.c.digest)
    newest = select(Request.id).where(*of_prompt, Request.stored_at.is_not(None)).order_by(Request.stored_at.desc())
    recent = newest.limit(LOOK_BACK).correlate(prompts).subquery()
    chosen = select(Request.id, Request.stored_at).join(recent, recent.c.id == Request.id).join(Job)
    chosen = chosen.where(FROM_USERS, *conditions(selection)).order_by(Request.stored_at.desc()).limit(OF_A_PROMPT)
    each = chosen.correlate(prompts).lateral()
    both = select(each.c.id, prompts.c.distance).select_from(prompts.join(each, true()))
    return both.order_by(prompts.c.distance, each.c.stored_at.desc()).limit(limit).subquery()
