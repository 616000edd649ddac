"""What ends before it begins, by a sweep."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from core import requests
from core.database import transaction
from core.families import load_family
from core.open_requests import waiting
from core.requests import Choice
from core.settings import settings
from core.tables import Job, Request, State
from core.unserved import expire_unstarted
from core.workers import WorkerIdentity
from tests.core.test_requests import MODELS, read

WORKER = WorkerIdentity("cpu0@test", uuid.uuid4())
PAST, COMING = timedelta(seconds=-5), timedelta(hours=1)


def request(start_in: timedelta | None, queue: bool = True) -> uuid.UUID:
    """A request of the family in force with so much time to start, queued or still accepted."""
    now, family = datetime.now(UTC), load_family(settings().family)
    job = Job(id=uuid.uuid4(), family=family.id, source="api", size=1, created_at=now)
    row = {"id": uuid.uuid4(), "position": 0, "prompt": "a fox", "seed": 1, "width": 32, "height": 32}
    start_by = None if start_in is None else now + start_in
    with transaction() as session:
        session.add(job)
        session.flush()
        deadline_at = now + timedelta(seconds=60)
        requests.new_requests(session, job, [{**row, "steps": 8, "guidance": 2.0}], deadline_at, start_by)
    if queue:
        requests.route([Choice(read(row["id"]), "exact", "test")], epoch=1)
    return row["id"]


def take(request_id: uuid.UUID) -> requests.Claim | None:
    return requests.claim(request_id, WORKER, MODELS, ["exact"])


@pytest.mark.parametrize("queue", [False, True])
def test_what_has_not_begun_in_time_fails_with_its_own_code_and_nothing_else_does(database, queue):
    late, early, any_time = (request(start, queue) for start in (PAST, COMING, None))
    assert expire_unstarted() == 1
    assert expire_unstarted() == 0
    row = read(late)
    assert (row.state, row.error_code) == (State.FAILED, "not_started_in_time")
    assert row.error == "It was to begin within -5 s, and had not."
    assert {read(early).state, read(any_time).state} == {State.QUEUED if queue else State.ACCEPTED}


def test_no_worker_is_offered_or_given_what_should_have_begun_before(database):
    late, early = request(PAST), request(COMING)
    family = load_family(settings().family)
    assert [row.id for row in waiting(family, ["exact"], background=False, most=10)] == [early]
    assert take(late) is None
    assert take(early) is not None
    assert expire_unstarted() == 1


def test_what_had_begun_in_time_is_drawn_again_when_its_worker_was_lost(database):
    begun = request(COMING)
    claim = take(begun)
    requests.release([claim.attempt], "lost", "its worker went away", "device_failed")
    with transaction() as session:
        session.execute(update(Request).values(start_by=func.now() - timedelta(seconds=1)))
    assert expire_unstarted() == 0
    assert take(begun) is not None


def test_expired_requests_are_violations_in_the_report(database):
    request(PAST)
    expire_unstarted()
    with transaction() as session:
        from app.records.report import report_out

        made = report_out(session, 60)
        assert session.scalar(select(func.count()).select_from(Request)) == 1
    assert (made.total["requests"], made.total["violations"]) == (1, 1)
