"""`/v1/jobs/<id>/cancel`, `…/pause`, `…/resume`, `…/retry`, `…/reorder`, and the same of all jobs: `/v1/requests/…`."""

from __future__ import annotations

import uuid
from typing import Any

from apiflask import APIBlueprint

from app.access import needs
from app.moves import move as make
from app.schemas.selection import Moved, MoveIn, ReorderIn
from app.security import refuse_all_but_json
from core.keys import Scope

blueprint = APIBlueprint("moves", __name__, url_prefix="/v1", tag="Many requests at once")
OF_JOB, OF_ALL = "/jobs/<uuid:job_id>", "/requests"
MOVE = "<any(cancel, pause, resume, retry):move>"
EXAMPLES = {
    "all": {"value": {}},
    "what failed at one level": {"value": {"state": "failed", "level": "exact"}},
    "how many that would be": {"value": {"prompt": "fox", "dry_run": True}},
}
ORDER = {"next": {"value": {"priority": "first"}}, "last of all": {"value": {"priority": -1000}}}
REFUSALS = {429: "More would be accepted again than may wait: `Retry-After` says when there is room"}


@blueprint.before_request
def only_json() -> None:
    """The body is JSON; none says that all is meant."""
    refuse_all_but_json(needed=False)


@blueprint.post(f"{OF_JOB}/{MOVE}")
@needs(Scope.SUBMIT)
@blueprint.input(MoveIn, location="json_or_form", arg_name="asked", examples=EXAMPLES)
@blueprint.output(Moved)
@blueprint.doc(responses=REFUSALS)
def move_requests_of_job(job_id: uuid.UUID, move: str, asked: MoveIn) -> Any:
    """Cancel, pause, resume or retry requests of a job

    `cancel`: what is open; what runs ends at its next denoising step. `pause`: what has not begun; what runs is drawn.
    `resume`: what is paused, its deadline as much later. `retry`: what failed or was cancelled is accepted again, with
    the same id and seed, as much time as at first, and its attempts counted anew.

    The body says which; none: all of them. Sent again, it does what is left to be done.
    """
    return make(move, asked, job_id)


@blueprint.post(f"{OF_JOB}/reorder")
@needs(Scope.SUBMIT)
@blueprint.input(ReorderIn, location="json_or_form", arg_name="asked", examples=ORDER)
@blueprint.output(Moved)
def reorder_requests_of_job(job_id: uuid.UUID, asked: ReorderIn) -> Any:
    """Reorder requests of a job

    Background work is drawn by priority, then by deadline: batch work that has time, and interactive requests that
    could not be in time. What can still meet its deadline goes by that.
    """
    return make("reorder", asked, job_id)


@blueprint.post(f"{OF_ALL}/{MOVE}")
@needs(Scope.SUBMIT)
@blueprint.input(MoveIn, location="json_or_form", arg_name="asked", examples=EXAMPLES)
@blueprint.output(Moved)
@blueprint.doc(responses=REFUSALS)
def move_requests(move: str, asked: MoveIn) -> Any:
    """Cancel, pause, resume or retry requests of all jobs

    The same, of every job of yours that has such requests; with a key for `admin`, of everybody's.
    """
    return make(move, asked)


@blueprint.post(f"{OF_ALL}/reorder")
@needs(Scope.SUBMIT)
@blueprint.input(ReorderIn, location="json_or_form", arg_name="asked", examples=ORDER)
@blueprint.output(Moved)
def reorder_requests(asked: ReorderIn) -> Any:
    """Reorder requests of all jobs

    The same, of every job of yours that has such requests; with a key for `admin`, of everybody's.
    """
    return make("reorder", asked)
