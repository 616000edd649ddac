"""What workers tell of requests on their way, in the database."""

from __future__ import annotations

import select
import uuid
from collections.abc import Iterator
from datetime import timedelta

import psycopg2
import pytest
from sqlalchemy import func, update

from core import progress, requests
from core.client_tables import Preview, Progress
from core.database import transaction
from core.progress import CHANNEL, Step
from core.requests import Claim
from core.tables import Request, State
from tests.conftest import Services
from tests.core.request_world import LEVELS, MODELS, World, image_of, start


@pytest.fixture
def world(database: Services) -> World:
    return World()


@pytest.fixture
def told(database: Services) -> Iterator[psycopg2.extensions.connection]:
    """A connection that listens."""
    connection = psycopg2.connect(database.database_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {CHANNEL}")
    yield connection
    connection.close()


def heard(connection: psycopg2.extensions.connection) -> list[uuid.UUID]:
    """The jobs told of since the last time."""
    select.select([connection], [], [], 2.0)
    connection.poll()
    jobs = [uuid.UUID(notice.payload) for notice in connection.notifies]
    connection.notifies.clear()
    return jobs


def claimed(world: World) -> Claim:
    """A request that runs."""
    world.accepts(1)
    world.routes("exact")
    (row,) = world.rows(State.QUEUED)
    claim = requests.claim(row.id, start("cpu0@here").identity, MODELS, LEVELS)
    assert claim is not None
    return claim


def test_steps_and_previews_of_the_attempt_that_runs_are_kept(world: World) -> None:
    claim = claimed(world)
    request = claim.request.id
    progress.write_steps([Step(request, claim.number, 3, 8), Step(uuid.uuid4(), 1, 1, 8)])
    progress.write_steps([Step(request, claim.number, 5, 8)])
    progress.write_preview(request, claim.number, 0, b"first")
    progress.write_preview(request, claim.number, 1, b"second")
    with transaction() as session:
        known = progress.progress_of(session, [request])
        assert {id: (row.step, row.steps) for id, row in known.items()} == {request: (5, 8)}
        assert [row.image for row in progress.previews_of(session, request)] == [b"first", b"second"]
        assert [row.image for row in progress.previews_of(session, request, after=0)] == [b"second"]
        newest = progress.newest_preview(session, request)
        assert newest is not None
        assert (newest.number, newest.image) == (1, b"second")


def test_an_attempt_that_is_over_tells_nothing(world: World) -> None:
    claim = claimed(world)
    progress.write_steps([Step(claim.request.id, claim.number + 1, 3, 8)])
    progress.write_preview(claim.request.id, claim.number + 1, 0, b"?")
    requests.release([claim.attempt], "returned", "why", "engine_error")
    progress.write_steps([Step(claim.request.id, claim.number, 3, 8)])
    progress.write_preview(claim.request.id, claim.number, 0, b"?")
    with transaction() as session:
        assert progress.progress_of(session, [claim.request.id]) == {}
        assert progress.previews_of(session, claim.request.id) == []


def test_what_was_told_goes_some_seconds_after_the_end(world: World) -> None:
    ended, running = claimed(world), claimed(world)
    for claim in (ended, running):
        progress.write_steps([Step(claim.request.id, claim.number, 3, 8)])
        progress.write_preview(claim.request.id, claim.number, 0, b"?")
    assert requests.finish(ended, image_of(ended), {}, 0.1)
    assert progress.forget_ended() == 0
    with transaction() as session:
        session.execute(update(Progress).values(updated_at=func.now() - timedelta(minutes=1)))
        session.execute(update(Preview).values(created_at=func.now() - timedelta(minutes=1)))
    assert progress.forget_ended() == 2
    with transaction() as session:
        assert set(progress.progress_of(session, [ended.request.id, running.request.id])) == {running.request.id}
        assert len(progress.previews_of(session, running.request.id)) == 1


def test_each_thing_that_happens_to_a_request_is_told_when_it_commits(
    world: World, told: psycopg2.extensions.connection
) -> None:
    claim = claimed(world)
    job = claim.request.job_id
    assert heard(told) == [job]  # it was queued; that it runs is told with its first step
    progress.write_steps([Step(claim.request.id, claim.number, 3, 8)])
    assert heard(told) == [job]
    progress.write_preview(claim.request.id, claim.number, 0, b"?")
    assert heard(told) == [job]
    assert requests.finish(claim, image_of(claim), {}, 0.1)
    assert heard(told) == [job]
    with transaction() as session:
        session.execute(update(Request).values(scored_at=func.now(), score=0.7))
    assert heard(told) == [job]
    other = claimed(world)
    heard(told)
    requests.cancel(other)
    assert heard(told) == [other.request.job_id]


def test_a_failure_is_told_and_a_job_once_for_all_its_requests(
    world: World, told: psycopg2.extensions.connection
) -> None:
    world.accepts(3)
    world.routes("exact")
    assert heard(told) == [world.jobs[-1]]
    row = world.rows(State.QUEUED)[0]
    with transaction() as session:
        session.execute(update(Request).where(Request.id == row.id).values(state=State.FAILED, error_code="x"))
    assert heard(told) == [world.jobs[-1]]
