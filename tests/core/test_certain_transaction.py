"""What is known of a transaction whose connection was lost."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import Text, cast, func, select, text
from sqlalchemy.exc import OperationalError

from core.client_tables import ClientAction
from core.database import certain_transaction, transaction, was_committed
from tests.conftest import Services

NOTHING = select(ClientAction.id).where(ClientAction.action == "nowhere")


def note(action: str) -> str:
    """The number of a transaction that has left a row."""
    with transaction() as session:
        session.add(ClientAction(client="a", action=action, job_id=uuid.uuid4(), details={}))
        return str(session.scalar(select(cast(func.pg_current_xact_id(), Text))))


def test_a_number_that_another_transaction_was_given_is_no_commit(database: Services) -> None:
    """After a crash PostgreSQL gives numbers again that it had not written down."""
    number = note("another")
    assert was_committed(number, select(ClientAction.id).where(ClientAction.action == "another"))
    assert not was_committed(number, NOTHING)


def test_a_connection_that_is_lost_before_the_commit_raises_whatever_became_of_the_number(
    database: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.database.was_committed", lambda *_: True)
    with pytest.raises(OperationalError):
        _lose_the_connection()


def _lose_the_connection() -> None:
    """A transaction that reaches neither its end nor its commit."""
    with certain_transaction(lambda: NOTHING) as session:
        pid = session.scalar(select(func.pg_backend_pid()))
        with transaction() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        session.scalar(select(func.now()))
