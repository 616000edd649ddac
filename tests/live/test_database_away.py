"""PostgreSQL stops in the middle of a tick, and comes back."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from core.database import forget_connections, migrate, transaction
from core.families import load_family
from core.postgres import postgres
from core.settings import settings
from core.supervisor import Child, Supervisor
from core.tables import Assignment, Plan, State
from scheduler.control.router import Router
from scheduler.control.tick import Scheduler
from tests.live.rows import join, requests, submit


class Database:
    """A PostgreSQL of the test's own, which it may stop and start again at the same address."""

    def __init__(self, supervisor: Supervisor, child: Child) -> None:
        self.supervisor, self.child = supervisor, child

    def stop(self) -> None:
        pid = self.supervisor.pids()["postgres"]
        os.kill(pid, signal.SIGQUIT)
        os.waitpid(pid, 0)

    def start(self) -> None:
        self.supervisor.start(self.child)


@pytest.fixture
def own_database(services: Any, toy: Path) -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="argus-test-") as folder:
        home = Path(folder)
        home.chmod(0o755)  # as root, PostgreSQL runs under an id of its own
        supervisor = Supervisor(home / "logs")
        child, url = postgres(home)
        try:
            supervisor.start(child)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("ARGUS_DATABASE_URL", url)
                settings.cache_clear()
                forget_connections()
                migrate()
                yield Database(supervisor, child)
        finally:
            supervisor.stop()
            settings.cache_clear()
            forget_connections()


class Interrupted(Scheduler):
    """Its database goes away when it has planned, before the plan is recorded."""

    database: Database
    interrupt = False

    def record(self, *planned: Any) -> int:
        if self.interrupt:
            self.database.stop()
        return super().record(*planned)


def plans() -> list[Plan]:
    with transaction() as session:
        return list(session.scalars(select(Plan).order_by(Plan.epoch)))


def test_a_database_away_for_a_tick_costs_that_tick_and_no_more(own_database: Database) -> None:
    family = load_family(settings().family)
    join()
    scheduler = Interrupted(family)
    scheduler.database = own_database
    first = scheduler.tick()
    routed = submit(3)
    Router(family).route()
    stranded = submit(2, state=State.QUEUED, level="sm-small", epoch=first)

    scheduler.interrupt = True
    with capture_logs() as logs:
        assert scheduler.tick() is None
    assert [log["log_level"] for log in logs] == ["error", "warning"]
    own_database.start()
    assert [(plan.epoch, plan.in_force) for plan in plans()] == [(first, True)]

    scheduler.interrupt = False
    second = scheduler.tick()
    _, failed, newest = plans()
    assert (failed.status, failed.in_force) == ("failed", False)
    assert "OperationalError" in failed.reason
    assert (newest.epoch, newest.in_force, newest.status) == (second, True, "optimal")
    assert failed.created_at < newest.created_at
    with transaction() as session:
        snapshot = scheduler.reader.snapshot(session, fresh=True)
        ordered = {model for order in session.scalars(select(Assignment)) for model in order.models}
    waiting = [row for job in (routed, stranded) for row in requests(job)]
    assert all(snapshot.is_served(row.level) or family.level(row.level).model in ordered for row in waiting)
