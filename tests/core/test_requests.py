"""The life of a request, move by move, on a real database."""

import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from core import queued_requests, requests, unserved, user_moves
from core.database import transaction
from core.requests import Choice
from core.settings import ROOT
from core.tables import Attempt, Image, Job, Request, ServiceClass, State
from core.workers import WorkerIdentity

WORKER = WorkerIdentity("cpu0@test", uuid.uuid4())
MODELS = {"exact": "large", "fs-4": "large", "sm-small": "small"}


@pytest.fixture
def accepted(database) -> uuid.UUID:
    """One accepted request."""
    now = datetime.now(UTC)
    job = Job(id=uuid.uuid4(), family="toy", source="api", size=1, created_at=now)
    row = {"id": uuid.uuid4(), "position": 0, "prompt": "a fox", "seed": 1, "width": 32, "height": 32}
    with transaction() as session:
        session.add(job)
        session.flush()
        requests.new_requests(session, job, [{**row, "steps": 8, "guidance": 2.0}], now + timedelta(seconds=60))
    return row["id"]


def read(request_id: uuid.UUID) -> Request:
    with transaction() as session:
        return session.get_one(Request, request_id)


def queued(request_id: uuid.UUID, level: str = "exact") -> uuid.UUID:
    requests.route([Choice(read(request_id), level, "test", 0.9, {level: 0.9})], epoch=3)
    return request_id


def claimed(request_id: uuid.UUID) -> requests.Claim:
    claim = requests.claim(request_id, WORKER, MODELS, ["exact", "fs-4"])
    assert claim is not None
    return claim


def image_of(claim: requests.Claim) -> Image:
    values = {"key": "k.png", "width": 32, "height": 32, "bytes": 1, "sha256": "0" * 64}
    used = {"level": "exact", "model": "large", "family_version": "1"}
    return Image(id=uuid.uuid4(), request_id=claim.request.id, attempt_id=claim.attempt, **values, **used)


def test_a_request_goes_from_accepted_to_done_and_every_time_is_noted(accepted):
    claim = claimed(queued(accepted))
    assert (claim.number, read(accepted).state) == (1, State.RUNNING)
    assert requests.finish(claim, image_of(claim), {"reason": None, "steps_run": 8}, 0.5)
    row = read(accepted)
    assert row.state == State.DONE
    assert row.accepted_at <= row.routed_at <= row.started_at <= row.stored_at
    assert row.stored_at - row.denoised_at >= timedelta(seconds=0.5)


def test_a_request_is_routed_once_and_claimed_once(accepted):
    choice = Choice(read(accepted), "exact", "test")
    assert [row.id for row in requests.route([choice], 1)] == [accepted]
    assert requests.route([choice], 2) == []
    assert requests.claim(accepted, WORKER, MODELS, ["fs-4"]) is None
    claimed(accepted)
    assert requests.claim(accepted, WORKER, MODELS, ["exact"]) is None


def test_recording_an_image_again_after_a_lost_answer_of_commit_is_a_success(accepted):
    """The worker deletes the file of an image that is not recorded: here it is, so its file must stay."""
    claim = claimed(queued(accepted))
    image = image_of(claim)
    columns = {name: getattr(image, name) for name in ("request_id", "attempt_id", "key", "width", "height")}
    columns |= {name: getattr(image, name) for name in ("id", "bytes", "sha256", "level", "model", "family_version")}
    assert requests.finish(claim, Image(**columns), {}, 0.0)
    assert requests.finish(claim, Image(**columns), {}, 0.0)
    with transaction() as session:
        assert session.query(Image).count() == 1


def test_an_attempt_given_up_for_lost_moves_nothing_when_it_comes_back(accepted):
    lost = claimed(queued(accepted))
    assert requests.release([lost.attempt], "lost", "silent", "worker_lost") == 1
    newer = claimed(accepted)
    assert not requests.finish(lost, image_of(lost), {}, 0.0)
    requests.cancel(lost)
    assert read(accepted).state == State.RUNNING
    assert newer.number == 2


def test_attempts_are_counted_when_they_fail_and_not_when_they_are_returned(accepted, monkeypatch):
    queued(accepted)
    for _ in range(5):
        requests.release([claimed(accepted).attempt], "returned", "preempted", "returned")
    assert read(accepted).state == State.QUEUED
    for _ in range(3):
        requests.release([claimed(accepted).attempt], "failed", "no number", "not_a_number")
    row = read(accepted)
    assert (row.state, row.error_code, row.error) == (State.FAILED, "not_a_number", "no number")


def test_a_redraw_that_fails_for_good_keeps_the_earlier_image(accepted):
    claim = claimed(queued(accepted))
    requests.finish(claim, image_of(claim), {}, 0.0)
    assert [row.id for row in requests.redraw(accepted, "exact", "under its floor")] == [accepted]
    for _ in range(3):
        requests.release([claimed(accepted).attempt], "failed", "no number", "not_a_number")
    row = read(accepted)
    assert row.state == State.DONE
    assert "under its floor" in row.note


def test_a_queued_request_changes_its_level_is_marked_and_goes_back_to_the_router(accepted):
    queued(accepted)
    assert queued_requests.change_levels({accepted: "fs-4"}, 4, "epoch 4") == {accepted}
    queued_requests.mark_unreachable([accepted])
    queued_requests.mark_unreachable([accepted])
    row = read(accepted)
    assert (row.level, row.epoch, row.deadline_unreachable) == ("fs-4", 4, True)
    assert row.note.count("not all that waited could be in time") == 1
    with transaction() as session:
        assert requests.return_to_router(session, "toy", ["fs-4"]) == {row.job_id}
    assert read(accepted).state == State.ACCEPTED


def test_batch_work_goes_back_to_the_reference_level(accepted):
    queued(accepted, "fs-4")
    assert queued_requests.restore_reference("toy", "exact") == 0
    with transaction() as session:
        session.get_one(Request, accepted).service_class = ServiceClass.BATCH
    assert queued_requests.restore_reference("toy", "exact") == 1
    assert read(accepted).level == "exact"


def test_cancelling_a_job_ends_what_is_open_and_a_running_attempt_after_it(accepted):
    claim = claimed(queued(accepted))
    with transaction() as session:
        job = session.get_one(Job, read(accepted).job_id)
        assert user_moves.cancel_job(session, job) == 1
        assert user_moves.cancel_job(session, job) == 0
    requests.cancel(claim)
    with transaction() as session:
        assert session.get_one(Attempt, claim.attempt).outcome == "cancelled"
    assert not requests.finish(claim, image_of(claim), {}, 0.0)


def test_every_move_is_drawn_and_nobody_else_writes_a_state():
    drawn = set(re.findall(r"`(\w+)`", (requests.__doc__ or "").partition("A row in")[0]))
    drawn -= {state.value for state in State}
    rooms_of_moves = (requests, user_moves, unserved)
    assert {name for name in drawn if not any(hasattr(room, name) for room in rooms_of_moves)} == set()
    writes = re.compile(r"values\([^)]*\bstate=State\.|\.state = State\.|SET state =|\"state\": (State\.|case)")
    rooms = ("app", "cli", "core", "scheduler", "traces", "workers")
    found = {
        str(p.relative_to(ROOT)) for room in rooms for p in (ROOT / room).rglob("*.py") if writes.search(p.read_text())
    }
    moves = ("requests.py", "user_moves.py", "unserved.py", "claim_statement.py")  # a statement of its own
    assert found == {f"core/{name}" for name in moves}
