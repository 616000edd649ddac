"""Connections that are kept: which are tested, and what becomes of dead ones."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from core import database as subject
from core.database import transaction
from tests.conftest import Services


def own_pid() -> int:
    """The process of the server that serves the connection taken next."""
    with transaction() as session:
        return session.scalars(select(func.pg_backend_pid())).one()


def end(pid: int, database: Services) -> None:
    """End a server process, as somebody else."""
    with closing(psycopg2.connect(database.database_url)) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


def test_a_connection_that_died_while_it_was_idle_is_not_noticed(
    database: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "TESTED_S", 0.0)
    before = own_pid()
    end(before, database)
    assert own_pid() != before


def test_one_that_died_just_after_its_use_fails_once(database: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "TESTED_S", 60.0)
    before = own_pid()
    end(before, database)
    with pytest.raises(OperationalError):
        own_pid()
    assert own_pid() != before


def test_the_connection_that_was_used_last_is_taken_first(database: Services) -> None:
    with transaction() as one, transaction() as other:
        pids = [session.scalars(select(func.pg_backend_pid())).one() for session in (one, other)]
    assert own_pid() == pids[0]  # `other` was given back before
