"""Rows that are written down and copied in are the rows that were meant."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from core.database import transaction
from core.requests import copy_requests
from core.row_spool import RowSpool, _written
from core.tables import Job, Request, State

PLAIN: dict[str, Any] = {"width": 64, "height": 64, "steps": 8, "guidance": 2.5, "min_quality": None}
AWKWARD = ["a\tb", "line\nline", "\\N", "\\.", "back\\slash", "\r", "ünï 🦊", "'quotes' \"too\"", "{a,b}", ""]


def test_any_text_is_copied_as_it_is_and_what_no_row_says_is_the_default(database: object) -> None:
    now = datetime.now(UTC)
    job = Job(id=uuid.uuid4(), family="toy", source="api", size=len(AWKWARD), created_at=now, tenant="default")
    with RowSpool() as rows, transaction() as session:
        for place, words in enumerate(AWKWARD):
            rows.add({"id": uuid.uuid4(), "position": place, "prompt": words, "seed": 2**63 - 1, **PLAIN})
        session.add(job)
        session.flush()
        copy_requests(session, job, rows, now + timedelta(seconds=9))
    with transaction() as session:
        found = session.scalars(select(Request).order_by(Request.position)).all()
    assert [row.prompt for row in found] == AWKWARD
    first = found[0]
    assert (first.state, first.deadline_at - first.accepted_at) == (State.ACCEPTED, timedelta(seconds=9))
    assert (first.seed, first.guidance, first.min_quality, first.attempts) == (2**63 - 1, 2.5, None, 0)
    assert (first.level_asked, first.negative_prompt, first.urgent, first.tenant) == ("auto", "", False, "default")


def copy_one(before: Callable[[Session, Session], object]) -> None:
    """Submit one request; `before` its row is copied, something happens in that session and in another."""
    now = datetime.now(UTC)
    job = Job(id=uuid.uuid4(), family="toy", source="api", size=1, created_at=now, tenant="default")
    with RowSpool() as rows, transaction() as session, transaction() as other:
        rows.add({"id": uuid.uuid4(), "position": 0, "prompt": "a fox", "seed": 1, **PLAIN})
        session.add(job)
        session.flush()
        before(session, other)
        copy_requests(session, job, rows, now + timedelta(seconds=9))


def test_a_connection_that_is_lost_while_rows_are_copied_is_a_database_that_is_away(database: object) -> None:
    def end(session: Session, other: Session) -> None:
        other.scalar(select(func.pg_terminate_backend(session.scalar(select(func.pg_backend_pid())))))

    with pytest.raises(OperationalError) as raised:
        copy_one(end)
    assert raised.value.connection_invalidated
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0


def test_a_lock_that_rows_wait_for_too_long_is_told_as_the_database_tells_it(database: object) -> None:
    def lock(session: Session, other: Session) -> None:
        other.execute(text("LOCK TABLE request IN SHARE MODE"))
        session.execute(text("SET LOCAL lock_timeout = '50ms'"))

    with pytest.raises(OperationalError) as raised:
        copy_one(lock)
    assert not raised.value.connection_invalidated


@given(st.text())
def test_a_value_is_one_cell_of_one_line(value: str) -> None:
    written = _written(value)
    assert not set(written) & set("\t\n\r")


def test_what_copy_has_no_words_for_is_refused() -> None:
    with pytest.raises(TypeError):
        _written(["a", 1])


def test_an_object_is_written_as_json_in_a_line() -> None:
    assert _written({"a": "b\n"}) == '{"a": "b\\\\n"}'
