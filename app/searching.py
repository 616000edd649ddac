"""What somebody looks for, as a vector: a worker of the router's makes it, for this process reads no prompts."""

from __future__ import annotations

import time
import uuid

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from app import waiting
from app.clients import client_of
from core.celery import publish
from core.database import single_statement, transaction
from core.errors import ServiceDown
from core.messages import ROUTER_QUEUE, ReadSearch
from core.search_tables import SearchText, digest_of

LIMIT_S = 2.0  # for a text that is new: 20 ms where nothing else goes on
LOOK_S = 0.02
INSTEAD = "Search by what the prompt contains."


def meaning_of(text: str) -> uuid.UUID:
    """The digest by which `search_text` has the embedding of this text.

    Raises:
        ServiceDown: no router answered within LIMIT_S.
        TooOften: too many wait already.
    """
    digest, known = _note(text)
    if known:
        return digest
    leave = waiting.PLACES_TO_WAIT.take(client_of(), LIMIT_S, INSTEAD)
    try:
        if publish(ROUTER_QUEUE, [ReadSearch(str(digest))]) and _is_read(digest):
            return digest
    finally:
        leave()
    raise ServiceDown(f"No router said within {LIMIT_S:g} s what this text means. {INSTEAD}", field="like")


def _note(text: str) -> tuple[uuid.UUID, bool]:
    """Write down what is looked for; its digest, and whether it has been read."""
    new = insert(SearchText).values(digest=digest_of(text), text=text)
    noted = new.on_conflict_do_update(index_elements=["digest"], set_={"asked_at": func.now()})
    with transaction() as session:
        found = session.execute(noted.returning(SearchText.digest, SearchText.embedding.is_not(None))).one()
    return found[0], found[1]


def _is_read(digest: uuid.UUID) -> bool:
    """Whether it is read before time is up."""
    read, end = select(SearchText.embedding.is_not(None)).where(SearchText.digest == digest), time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        time.sleep(LOOK_S)
        with single_statement() as session:
            if session.scalar(read):
                return True
    return False
