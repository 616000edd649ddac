"""History goes when its days are over, but for what is in use."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from core.database import transaction
from core.settings import settings
from core.tables import Assignment, Plan, Predictor, Request, State, Worker
from scheduler.control import trim
from scheduler.control.trim import Trimmer, trim_history
from tests.live.rows import attempt, join, submit


@pytest.fixture
def days_ago(database: Any, toy: Any) -> datetime:
    return datetime.now(UTC) - timedelta(days=settings().history_days + 1)


def add_plan(at: datetime, in_force: bool = False) -> int:
    with transaction() as session:
        plan = Plan(family="toy", policy="argus", status="optimal", observed={}, decided={}, reason="", seconds=0.0)
        plan.created_at, plan.in_force = at, in_force
        session.add(plan)
        session.flush()
        return plan.epoch


def assign(worker: str, epoch: int, at: datetime) -> None:
    with transaction() as session:
        session.add(Assignment(epoch=epoch, worker=worker, models=[], queues=[], reason="", created_at=at))


def left(column: Any) -> list[Any]:
    with transaction() as session:
        return list(session.scalars(select(column).order_by(column)))


def test_old_plans_go_and_the_one_in_force_stays(days_ago: datetime) -> None:
    add_plan(days_ago)
    in_force, new = add_plan(days_ago, in_force=True), add_plan(datetime.now(UTC))
    assert trim_history()["plans"] == 1
    assert left(Plan.epoch) == [in_force, new]


def test_the_last_two_assignments_of_a_worker_stay_with_their_plans(days_ago: datetime) -> None:
    join("cpu0@test")
    epochs = [add_plan(days_ago) for _ in range(4)]
    for epoch in epochs:
        assign("cpu0@test", epoch, days_ago)
    assert trim_history() == {
        "workers": 0,
        "assignments": 2,
        "plans": 2,
        "actions": 0,
        "keys": 0,
        "choices": 0,
        "predictors": 0,
        "webhooks": 0,
    }
    assert left(Assignment.epoch) == left(Plan.epoch) == epochs[2:]


def test_a_worker_that_left_long_ago_goes_with_its_assignments(days_ago: datetime) -> None:
    age = (datetime.now(UTC) - days_ago).total_seconds()
    join("gone@test", seen_ago_s=age)
    boot = join("busy@test", seen_ago_s=age)
    join("here@test")
    attempt(submit(1, state=State.QUEUED, level="exact"), boot, "busy@test")
    assign("gone@test", add_plan(days_ago), days_ago)
    assert trim_history() == {
        "workers": 1,
        "assignments": 1,
        "plans": 1,
        "actions": 0,
        "keys": 0,
        "choices": 0,
        "predictors": 0,
        "webhooks": 0,
    }
    assert left(Worker.name) == ["busy@test", "here@test"]
    assert len(left(Request.id)) == 1


def test_a_predictor_that_was_replaced_long_ago_goes(days_ago: datetime) -> None:
    with transaction() as session:
        for in_force in (False, True):
            about = {"family": "toy", "family_version": "1", "reason": "first", "figures": {}, "content": b""}
            session.add(Predictor(**about, in_force=in_force, created_at=days_ago))
    assert trim_history()["predictors"] == 1
    assert left(Predictor.in_force) == [True]


def test_it_is_looked_for_once_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[uuid.UUID] = []
    monkeypatch.setattr(trim, "trim_history", lambda: asked.append(uuid.uuid4()))
    trimmer = Trimmer()
    trimmer()
    trimmer()
    assert len(asked) == 1
