"""What happens to a job's requests, a move at a time, as app, router, workers and reconciliation make them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select, update

from core import attempts, requests, user_moves
from core.database import transaction
from core.requests import Choice, Claim
from core.tables import OPEN_STATES, Attempt, Image, Job, Request, State, Worker
from core.workers import WorkerIdentity, open_attempts, register
from scheduler.control.lost_workers import LostWorkers

LEVELS, MODELS = ["exact", "fs-4", "sm-small"], {"exact": "large", "fs-4": "large", "sm-small": "small"}
NAMES = ("cpu0@life", "cpu1@life")
ABOUT: dict[str, Any] = {"device": "cpu:0", "device_type": "cpu", "family": "toy", "state": "ready"}


@dataclass
class Running:
    """A worker's process: who it is, and the claims that it holds for its own, rightly or not."""

    identity: WorkerIdentity
    claims: list[Claim] = field(default_factory=list)
    silent: bool = False


class World:
    """Jobs, workers, and claims of processes that are gone, as it seems: `late` ones may answer yet."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[uuid.UUID] = []
        self.workers = [start(name) for name in NAMES]
        self.late: list[Claim] = []
        self.ended: dict[uuid.UUID, str] = {}  # how attempts ended
        self.lost = LostWorkers()

    def accepts(self, count: int) -> None:
        now = datetime.now(UTC)
        job = Job(id=uuid.uuid4(), family="toy", source="api", size=count, created_at=now)
        plain = {"prompt": "a fox", "seed": 1, "width": 32, "height": 32, "steps": 8, "guidance": 2.0}
        rows = [{"id": uuid.uuid4(), "position": place, **plain} for place in range(count)]
        with transaction() as session:
            session.add(job)
            session.flush()
            requests.new_requests(session, job, rows, now + timedelta(seconds=60))
        self.jobs.append(job.id)

    def routes(self, level: str) -> list[Choice]:
        choices = [Choice(row, level, "test", 0.9, {level: 0.9}) for row in self.rows(State.ACCEPTED)]
        assert len(requests.route(choices, 1)) == len(choices)
        return choices

    def claims(self, worker: Running, row: Request, level: str | None = None) -> Claim:
        """A message comes for it; a second message finds it taken."""
        claimed = requests.claim(row.id, worker.identity, MODELS, LEVELS, level)
        assert claimed is not None
        assert claimed.number == row.attempts + 1
        assert requests.claim(row.id, worker.identity, MODELS, LEVELS) is None
        worker.claims.append(claimed)
        if attempts.suspected(row.id):
            attempts.begin_alone(claimed.attempt)
        return claimed

    def ends(self, claim: Claim, how: str) -> None:
        """The process that holds a claim is done with it, whoever the request is given to by now."""
        current = is_current(claim)
        if how == "cancelled":
            requests.cancel(claim)
        elif how.startswith("finished"):
            image = image_of(claim)
            assert requests.finish(claim, image, {"reason": None}, 0.1) == current
            if how == "finished, and the answer was lost":
                assert requests.finish(claim, image_of(claim, image.id), {}, 0.1) == current
        else:
            queued = requests.release([claim.attempt], how, "why", "engine_error")
            assert queued <= current

    def finds_forgotten(self, worker: Running) -> None:
        """A worker looks for attempts of its own that no thread of it is at."""
        at_hand = {claim.attempt for claim in worker.claims}
        left = [a.id for a in open_attempts(worker.identity, earlier=False) if a.id not in at_hand]
        requests.release(left, "returned", "not recorded", "worker_lost")

    def moves(self, job: uuid.UUID, move: user_moves.Move) -> int:
        with transaction() as session:
            moved = user_moves.make(session, move, job, ())
            assert user_moves.remaining(session, move, job, ()) == 0
        return moved

    def crashes(self, place: int) -> None:
        self.late += self.workers[place].claims
        self.workers[place] = start(NAMES[place])

    def comes_to_an_end(self) -> None:
        """Whatever happened, by what the live system does anyway; then the jobs go."""
        for place in range(len(self.workers)):
            self.crashes(place)
        self.lost.take_back()
        for job in self.jobs:
            self.moves(job, user_moves.RESUME)
        self.routes("exact")
        for row in self.rows(State.QUEUED):
            self.ends(self.claims(self.workers[0], row), "finished")
        assert not self.rows(*OPEN_STATES)
        self.agrees()
        with transaction() as session:
            session.execute(delete(Job).where(Job.id.in_(self.jobs)))

    def rows(self, *states: State) -> list[Request]:
        """Requests in these states, in the order in which they were accepted."""
        with transaction() as session:
            rows = session.scalars(select(Request).where(Request.job_id.in_(self.jobs))).all()
        mine = [row for row in rows if row.state in states]
        return sorted(mine, key=lambda row: (self.jobs.index(row.job_id), row.position))

    def agrees(self) -> None:
        """Every request's row with its attempts and images."""
        mine = select(Request.id).where(Request.job_id.in_(self.jobs))
        with transaction() as session:
            rows = session.scalars(select(Request).where(Request.job_id.in_(self.jobs))).all()
            tries = session.scalars(select(Attempt).where(Attempt.request_id.in_(mine)).order_by(Attempt.number)).all()
            images = session.scalars(select(Image).where(Image.request_id.in_(mine))).all()
        for tried in tries:
            if tried.outcome is not None:
                assert self.ended.setdefault(tried.id, tried.outcome) == tried.outcome  # once and for all
        for row in rows:
            its_images = [image.attempt_id for image in images if image.request_id == row.id]
            agrees(row, [tried for tried in tries if tried.request_id == row.id], its_images)


def start(name: str) -> Running:
    """A new boot of a worker; what an earlier one held is forgotten with it."""
    identity = WorkerIdentity(name, uuid.uuid4())
    register(identity, **ABOUT, models=[], queues=[], stats={})
    return Running(identity)


def silence(worker: Running) -> None:
    """It was heard a minute ago."""
    worker.silent = True
    with transaction() as session:
        mine = update(Worker).where(Worker.name == worker.identity.name)
        session.execute(mine.values(seen_at=func.now() - timedelta(minutes=1)))


def is_current(claim: Claim) -> bool:
    """Whether the request is this claim's."""
    with transaction() as session:
        row = session.get_one(Request, claim.request.id)
        return row.state == State.RUNNING and row.attempts == claim.number


def images(request: uuid.UUID) -> list[Image]:
    with transaction() as session:
        return list(session.scalars(select(Image).where(Image.request_id == request)))


def image_of(claim: Claim, image_id: uuid.UUID | None = None) -> Image:
    values: dict[str, Any] = {"key": "k.png", "width": 32, "height": 32, "bytes": 1, "sha256": "0" * 64}
    used = {"level": str(claim.request.level), "model": "large", "family_version": "1"}
    return Image(id=image_id or uuid.uuid4(), request_id=claim.request.id, attempt_id=claim.attempt, **values, **used)


def agrees(row: Request, tries: list[Attempt], its_images: list[uuid.UUID], most: int = 3) -> None:
    """A request's row with its attempts, and with the attempts that its images are of."""
    opened = [tried for tried in tries if tried.outcome is None]
    since = [tried for tried in tries if tried.number > row.attempts_before]
    used = sum(tried.outcome == "failed" or (tried.outcome == "lost" and tried.alone) for tried in since)
    assert [tried.number for tried in tries] == list(range(1, row.attempts + 1))
    assert sorted(its_images) == sorted(tried.id for tried in tries if tried.outcome == "done")
    if row.state == State.RUNNING:
        assert opened == tries[-1:]
        assert opened[0].worker == row.worker
    elif row.state == State.CANCELLED:
        assert opened in ([], tries[-1:])
    else:
        assert not opened
    if row.state in OPEN_STATES:
        assert used < most or its_images
    elif row.state == State.FAILED:
        assert used >= most
        assert not its_images
        assert row.error_code
        assert row.error
    elif row.state == State.DONE:
        assert its_images
