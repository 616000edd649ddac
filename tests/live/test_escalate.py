"""Scores under a floor and images drawn again, on real rows and a real broker, without workers."""

from __future__ import annotations

import io
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image as Pillow
from sqlalchemy import select, update

from core.database import transaction
from core.requests import redraw
from core.settings import settings
from core.tables import Image, Request, State
from core.workers import WorkerIdentity
from scheduler.control.escalate import escalate
from scheduler.control.tick import Scheduler
from scheduler.observation.snapshot import SnapshotReader
from tests.live.rows import join, requests, scored, submit
from workers.admission import PolicyAdmission, claim
from workers.scoring import worker as scoring


def test_a_score_under_the_floor_is_drawn_again_at_a_better_level_once(family):
    join()
    Scheduler(family).tick()
    scored(submit(5), "exact", 2.0)  # what exact scores
    poor, good = submit(1, min_quality=0.85), submit(1, min_quality=0.85)
    scored(poor, "fs-4", 1.0)
    scored(good, "fs-4", 1.9)
    reader = SnapshotReader(family)
    assert escalate(reader, requests(good)[0].id) is None
    assert escalate(reader, requests(poor)[0].id) == "exact"
    (row,) = requests(poor)
    assert (row.state, row.level) == (State.QUEUED, "exact")
    assert "under the floor" in row.note
    scored_again = update(Request).where(Request.id == row.id).values(state=State.DONE)
    with transaction() as session:
        session.execute(scored_again)
        first = session.scalars(select(Image).where(Image.request_id == row.id)).one()
        second = Image(id=uuid.uuid4(), request_id=row.id, attempt_id=first.attempt_id, key="k2", width=32, height=32)
        second.bytes, second.sha256, second.level, second.model, second.family_version = 1, "0", "exact", "large", "1"
        session.add(second)
    assert escalate(reader, row.id) is None


def test_a_prompt_is_held_to_its_own_reference_score_where_that_is_known(family):
    join()
    Scheduler(family).tick()
    scored(submit(5), "exact", 2.0)
    scored(submit(1, prompt="a hard one"), "exact", 1.0)
    hard, plain = submit(1, prompt="a hard one", min_quality=0.85), submit(1, min_quality=0.85)
    scored(hard, "fs-4", 0.95)
    scored(plain, "fs-4", 0.95)
    reader = SnapshotReader(family)
    assert escalate(reader, requests(hard)[0].id) is None
    assert escalate(reader, requests(plain)[0].id) == "exact"


def test_a_redrawn_request_that_cannot_be_in_time_is_done_with_the_image_it_has(family):
    join()
    job = submit(1, deadline_at=datetime.now(UTC) + timedelta(seconds=0.01))
    scored(job, "fs-4", 1.0)
    (row,) = requests(job)
    redraw(row.id, "exact", "again")
    waits = submit(1, state=State.QUEUED, level="exact", epoch=0, deadline_at=datetime.now(UTC))
    Scheduler(family).tick()
    claim(family, WorkerIdentity("cpu0@test", uuid.uuid4()), ["exact"], PolicyAdmission(family, "cpu0@test", "cpu"))
    (row,) = requests(job)
    assert (row.state, row.level, row.deadline_unreachable) == (State.DONE, "fs-4", False)
    assert "the image stays" in row.note
    assert requests(waits)[0].deadline_unreachable


class Pictures:
    """A store in which every image is a grey square."""

    def get(self, key: str) -> bytes:
        data = io.BytesIO()
        Pillow.new("RGB", (8, 8)).save(data, "PNG")
        return data.getvalue()


@pytest.mark.parametrize(("policy", "floor", "asked"), [("argus", None, 0), ("argus", 0.9, 1), ("diffserve", None, 1)])
def test_a_score_reaches_the_policy_when_there_is_a_floor_or_it_reviews_all(family, monkeypatch, policy, floor, asked):
    published: list[Any] = []
    monkeypatch.setattr(scoring, "publish", lambda queue, messages: published.extend(messages))
    monkeypatch.setenv("ARGUS_POLICY", policy)
    settings.cache_clear()
    try:
        scored(submit(1, min_quality=floor), "fs-4", 1.0)
        with transaction() as session:
            image = session.scalars(select(Image)).one()
        scorer = scoring.ImageScoring(SimpleNamespace(name="other", score=lambda *_: [1.0]), Pictures())
        scorer.score([image.id])
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert len(published) == asked
