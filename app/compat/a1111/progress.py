"""How far the work of this client is, and stopping it: `/sdapi/v1/progress`, `/interrupt`, `/skip`.

The web UI draws for one person; here each client (its address) sees and stops what it sent to `txt2img` itself.
"""

from __future__ import annotations

import uuid
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import jobs
from app.access import needs
from app.clients import client_of
from app.compat.a1111.answers import ProgressOut
from app.compat.a1111.blueprint import REFUSED, SOURCE, blueprint
from app.compat.a1111.info import TIMESTAMP
from app.compat.a1111.schemas import ProgressIn
from core.client_tables import Progress
from core.database import transaction
from core.keys import Scope
from core.progress import newest_preview, progress_of
from core.tables import OPEN_STATES, Job, Request, State

BEGUN = 0.01  # the least that the web UI says of open work: to its clients, 0 is idle


@dataclass(frozen=True)
class Work:
    """Every request of this client's open jobs, in order, and how far those are that run."""

    requests: Sequence[Any]
    steps: dict[uuid.UUID, Progress]

    @property
    def running(self) -> Any | None:
        """The request that runs and is furthest on."""
        running = [one for one in self.requests if one.state == State.RUNNING]
        return max(running, key=lambda one: self._of(one)[0], default=None)

    @property
    def ended(self) -> int:
        return sum(one.state not in OPEN_STATES for one in self.requests)

    @property
    def share(self) -> float:
        """The share of all steps that are done; what does not run yet counts with the steps it asked for."""
        done = sum(self._of(one)[0] for one in self.requests)
        return done / max(1, sum(self._of(one)[1] for one in self.requests))

    def step(self) -> tuple[int, int]:
        """Steps done and in all of the one that is furthest on."""
        return self._of(self.running) if self.running is not None else (0, 0)

    def _of(self, request: Any) -> tuple[int, int]:
        told = self.steps.get(request.id)
        if request.state not in OPEN_STATES:
            return (request.steps, request.steps)
        return (told.step, told.steps) if told and request.state == State.RUNNING else (0, request.steps)


@blueprint.get("/progress")
@needs(Scope.READ, Scope.SUBMIT)
@blueprint.input(ProgressIn, location="query", arg_name="how")
@blueprint.output(ProgressOut)
@blueprint.doc(responses=REFUSED)
def read_progress(how: ProgressIn) -> ProgressOut:
    """Read progress

    Of everything that this client sent to `txt2img` and that is not done; a job's own progress is in `/v1/jobs`.
    """
    with transaction() as session:
        work, now = _work(session), session.execute(select(func.now())).scalar_one()
        running = work.running
        preview = None if how.skip_current_image or running is None else newest_preview(session, running.id)
    if not work.requests:
        return ProgressOut(progress=0.0, eta_relative=0.0, state=_state(work))
    share = max(BEGUN, work.share)
    passed = (now - work.requests[0].accepted_at).total_seconds()
    return ProgressOut(
        progress=share,
        eta_relative=passed / share - passed,
        state=_state(work),
        current_image=b64encode(preview.image).decode() if preview else None,
    )


@blueprint.post("/interrupt")
@needs(Scope.SUBMIT)
@blueprint.doc(responses={200: "Nothing of this client is open any more"})
def interrupt() -> dict[str, Any]:
    """Stop

    Cancels all that this client sent to `txt2img` and that is not done. The calls that wait for it answer with the
    images that are there, half-drawn ones as their last preview shows them, or 409 where there is none.
    """
    with transaction() as session:
        open_jobs = {one.job_id for one in _work(session).requests}
    for job_id in open_jobs:
        jobs.cancel(job_id)
    return {}


@blueprint.post("/skip")
@needs(Scope.SUBMIT)
@blueprint.doc(responses={200: "Skipped, if there was anything"})
def skip() -> dict[str, Any]:
    """Skip an image

    Cancels the image of this client that runs, or else the one that is next; its call goes on with the others.
    """
    with transaction() as session:
        work = _work(session)
    first = work.running or next((one for one in work.requests if one.state in OPEN_STATES), None)
    if first is not None:
        jobs.skip(first.job_id, [first.id])
    return {}


def _work(session: Session) -> Work:
    own = select(Job.id).join(Request).where(Job.source == SOURCE, Job.client == client_of())
    unfinished = own.where(Request.state.in_(OPEN_STATES)).distinct()
    columns = (Request.id, Request.job_id, Request.state, Request.steps, Request.accepted_at)
    mine = select(*columns).where(Request.job_id.in_(unfinished)).order_by(Request.accepted_at, Request.position)
    found = session.execute(mine).all()
    running = [one.id for one in found if one.state == State.RUNNING]
    return Work(found, progress_of(session, running) if running else {})


def _state(work: Work) -> dict[str, Any]:
    """The web UI's `state`, as modules/shared_state.py has it."""
    step, steps = work.step()
    return {
        "skipped": False,
        "interrupted": False,
        "stopping_generation": False,
        "job": "txt2img" if work.requests else "",
        "job_count": len(work.requests),
        "job_timestamp": _timestamp(work.requests[0].accepted_at) if work.requests else "0",
        "job_no": work.ended,
        "sampling_step": step,
        "sampling_steps": steps,
    }


def _timestamp(at: datetime) -> str:
    return f"{at:{TIMESTAMP}}"
