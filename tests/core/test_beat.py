"""Beat sends at its pace whatever becomes of the wall clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from celery.beat import Scheduler

from core import beat


def made(kind: type[Any]) -> Any:
    """A scheduler that has sent its one entry an hour from now, for the clock was wrong."""
    app = Celery("toy", broker="memory://")
    app.conf.beat_schedule = {"tick": {"task": "toy.tick", "schedule": 1.0}}
    scheduler = kind(app=app, lazy=True)
    scheduler.setup_schedule()
    for entry in scheduler.schedule.values():
        entry.last_run_at = entry.default_now() + timedelta(hours=1)
    return scheduler


def test_when_the_clock_is_set_back_entries_go_on_within_their_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beat, "ahead", lambda: 3600.0)
    scheduler = made(beat.Beat)
    monkeypatch.setattr(beat, "ahead", lambda: 0.0)
    assert scheduler.tick() <= 1.0
    (entry,) = scheduler.schedule.values()
    assert entry.is_due().next <= 1.0


def test_celery_s_own_scheduler_would_be_silent() -> None:
    scheduler = made(Scheduler)
    scheduler.tick()
    (entry,) = scheduler.schedule.values()
    assert entry.is_due().next > 3000


def test_a_clock_that_is_not_set_changes_nothing() -> None:
    scheduler = made(beat.Beat)
    scheduler.tick()
    (entry,) = scheduler.schedule.values()
    assert entry.is_due().next > 3000  # it was told wrong, but the clock is as it was
