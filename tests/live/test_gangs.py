"""A worker of this process leads, real workers of the same host join: from the queue to the record."""

from __future__ import annotations

import io
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image as Pillow
from sqlalchemy import func, select

from core import gangs
from core.database import transaction
from core.gang_tables import Gang
from core.images import ImageStore
from core.parallel_profiles import ModeProfile
from core.supervisor import Supervisor
from core.tables import Attempt, State
from core.workers import register
from tests.live.conftest import STALE_S, Stack
from tests.live.site import PATIENCE_S, Site
from workers.gangs.joining import Joining

STEPS, LONG, NEVER = 12, 400, -1
MEMBER = "cpu1@way"
QUICK = ModeProfile(model="large", mode="distrifusion", ranks=2, step_s=0.001, serial_s=0.1)  # pays, whatever the load


@pytest.fixture
def leading(site: Site) -> Site:
    """The worker of this process, as others see it."""
    identity = site.generation.identity
    about = {"device": "cpu:0", "device_type": "cpu", "family": "toy", "state": "ready"}
    register(identity, **about, models=["large"], queues=[], stats={})
    site.adapter.stops_at = NEVER  # a mode's copy of it does not count forwards
    return site


@pytest.fixture
def member(leading: Site, services: Any, toy: Any) -> Iterator[Stack]:
    """Another worker of its host, a process that is ready."""
    env = {**services.environ(), "ARGUS_FAMILY": str(toy), "ARGUS_STALE_S": STALE_S}
    supervisor = Supervisor(services.home / "gang")
    stack = Stack(services, toy, supervisor, env)
    try:
        stack.start_worker(MEMBER)
        leading.generation.claims.renew(time.monotonic())
        yield stack
    finally:
        supervisor.stop()


def drawn(site: Site, **columns: Any) -> uuid.UUID:
    site.generation.claims.renew(time.monotonic())  # as its heartbeat would
    request = site.submit(steps=STEPS, level_asked="exact", **columns)
    site.generation.generate(request, 0)
    assert site.row(request).state == State.DONE
    return request


def pixels(site: Site, request: uuid.UUID) -> bytes:
    return Pillow.open(io.BytesIO(ImageStore().get(site.image(request).key))).tobytes()


def told(site: Site, request: uuid.UUID) -> dict[str, Any]:
    (attempt,) = site.attempts(request)
    return dict(attempt.parallel or {})


def wait_until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_two_workers_draw_the_serial_image_together_and_then_apart(leading: Site, member: Stack):
    serial = drawn(leading)
    for mode, most_off in (("distrifusion", 2), ("asyncdiff", 64)):  # two ranks of the first divide guidance alone
        request = drawn(leading, parallel=mode)
        record = told(leading, request)
        assert (record["mode"], record["ranks"], record["turns"], record["fall_back"]) == (mode, 2, STEPS, None)
        apart = [abs(a - b) for a, b in zip(pixels(leading, request), pixels(leading, serial), strict=True)]
        assert max(apart) <= most_off
        gang = gangs.read(leading.attempts(request)[0].id)
        assert gang is not None
        assert (gang.leader, gang.members) == ("cpu0@way", [MEMBER])
    assert leading.generation.claims.has_room
    leading.generation.execution._leading.measured = (QUICK,)
    alone = told(leading, drawn(leading, parallel="off"))
    unasked = drawn(leading)
    record = told(leading, unasked)
    assert (record["mode"], record["ranks"], record["turns"], record["fall_back"]) == ("distrifusion", 2, STEPS, None)
    apart = [abs(a - b) for a, b in zip(pixels(leading, unasked), pixels(leading, serial), strict=True)]
    assert (alone, max(apart) <= 2) == ({}, True)


def test_a_member_that_dies_on_the_way_costs_the_mode_and_one_that_is_frozen_is_not_waited_for(
    leading: Site, member: Stack
):
    request = leading.submit(steps=LONG, level_asked="exact", parallel="asyncdiff")
    slot = threading.Thread(target=leading.generation.generate, args=(request, 0))
    slot.start()

    def turns() -> int:
        running = leading.engine.find(str(request))
        return running.parallel.turns if running is not None and running.parallel is not None else 0

    wait_until(lambda: turns() > 2)
    member.end(MEMBER, signal.SIGKILL)
    leading.finish(slot)
    record = told(leading, request)
    assert leading.row(request).state == State.DONE
    assert 2 < record["turns"] < LONG
    assert "gone, or was silent" in record["fall_back"]
    again = told(leading, drawn(leading, parallel="asyncdiff"))  # its row says that it lives: it is asked in vain
    assert (again["turns"], again["fall_back"]) == (0, "no other worker of this host could join")


def test_no_gang_forms_while_somebody_waits(leading: Site):
    leading.submit(level="sm-small")
    assert "others wait" in told(leading, drawn(leading, parallel="asyncdiff"))["fall_back"]
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(Gang)) == 0


def asked(site: Site, program: str | None = None) -> uuid.UUID:
    """An attempt of another worker, which asks this one to join."""
    request = site.submit(state=State.RUNNING, worker="cpu9@way", attempts=1, parallel="asyncdiff")
    attempt = Attempt(id=uuid.uuid4(), request_id=request, number=1, worker="cpu9@way", boot=uuid.uuid4())
    attempt.level, attempt.model = "exact", "large"
    gang = Gang(attempt_id=attempt.id, leader="cpu9@way", mode="asyncdiff", asked=["cpu0@way"])
    gang.program = program or gangs.program_of(site.family)
    with transaction() as session:
        session.add(attempt)
        session.flush()
        session.add(gang)
    return attempt.id


def answers(attempt: uuid.UUID) -> tuple[list[str], list[str]]:
    gang = gangs.read(attempt)
    assert gang is not None
    return gang.willing, gang.unwilling


def test_a_worker_that_draws_or_is_of_another_version_declines(leading: Site):
    joining = Joining(leading.generation)
    slot = leading.begin(leading.submit())
    attempt = asked(leading)
    assert not joining.join(attempt)
    assert answers(attempt) == ([], ["cpu0@way"])
    leading.finish(slot)
    attempt = asked(leading, "Argus 0.0")
    assert not joining.join(attempt)
    assert answers(attempt) == ([], ["cpu0@way"])
    assert not leading.generation.claims.alone


def test_a_member_begins_nothing_else_and_takes_what_waits_when_it_has_left(leading: Site):
    joining, attempt = Joining(leading.generation), asked(leading)
    thread = threading.Thread(target=joining.join, args=(attempt,))
    thread.start()
    wait_until(lambda: answers(attempt)[0] == ["cpu0@way"])
    waiting = leading.submit(steps=3)
    leading.generation.generate(waiting, 0)
    assert leading.row(waiting).state == State.QUEUED
    gangs.close(attempt, [])  # the leader does without it
    thread.join(PATIENCE_S)
    wait_until(lambda: leading.row(waiting).state == State.DONE)
