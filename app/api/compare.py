"""`/v1/compare`: the same prompt at several levels, with the same seeds."""

from __future__ import annotations

import uuid
from typing import Any

from apiflask import APIBlueprint
from flask import request

from app import comparing
from app.access import needs, submits
from app.api.jobs import REFUSALS
from app.records.comparison import comparison
from app.schemas.compare import CompareIn, ComparisonOut
from app.schemas.submission import KeyIn
from app.security import refuse_all_but_json
from core.database import transaction
from core.keys import Scope

blueprint = APIBlueprint("compare", __name__, url_prefix="/v1/compare", tag="Jobs")
EXAMPLES = {
    "all levels": {"value": {"prompt": "a red apple on a table"}},
    "two levels, three seeds": {
        "value": {"prompt": "a red apple on a table", "levels": ["exact", "ac-3"], "seeds": [1, 2, 3]}
    },
}


@blueprint.before_request
def only_json() -> None:
    """What is submitted is JSON."""
    if request.method == "POST":
        refuse_all_but_json()


@blueprint.post("")
@submits
@blueprint.input(CompareIn, arg_name="wanted", examples=EXAMPLES)
@blueprint.input(KeyIn, location="headers", arg_name="key")
@blueprint.output(ComparisonOut, 202, description="Accepted: the rows are committed")
@blueprint.doc(responses=REFUSALS)
def submit_comparison(wanted: CompareIn, key: KeyIn) -> Any:
    """Compare levels

    One prompt, drawn at each level with each seed, as one job. `links.self` has the grid as it fills.
    """
    submitted = comparing.submit(wanted, "api")
    with transaction() as session:
        found = comparison(session, submitted.job.id)
    return found, 202, {"Location": found.links["self"]}


@blueprint.get("/<uuid:job_id>")
@needs(Scope.READ)
@blueprint.output(ComparisonOut)
def read_comparison(job_id: uuid.UUID) -> Any:
    """Read a comparison

    A job's requests as a grid of level × seed, with scores, seconds, and each score relative to the reference level's
    with the same seed.
    """
    with transaction() as session:
        return comparison(session, job_id)
