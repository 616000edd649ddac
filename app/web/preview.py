"""`/preview`: what the form would make if it were sent now. `/history`: the prompts its client sent lately."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from flask import render_template, request

from app.access import needs
from app.clients import client_of
from app.prompts.notes import notes
from app.records.estimate import estimate
from app.records.history import prompts_of
from app.submission import AUTO, rows_of
from app.web.blueprint import blueprint
from app.web.form import lines_of, options_of
from core.database import transaction
from core.errors import ArgusError
from core.families import Family, load_family
from core.keys import Scope
from core.numbers import RANDOM
from core.settings import settings

LOOKED_AT = 20  # prompts whose choices are drawn
SHOWN, KEPT = 6, 30


@dataclass(frozen=True)
class Draft:
    """How many images; what choices and wildcards make of the first prompts; remarks; the first thing that is wrong."""

    prompts: int
    images: int
    samples: list[str]
    remarks: list[str]
    error: ArgusError | None = None


@blueprint.post("/preview")
@needs(Scope.SUBMIT)
def preview() -> str:
    """How many images, how long they would take, and what choices and wildcards would make of the prompts."""
    family, prompts = load_family(settings().family), lines_of(request.form)
    found = draft(family, prompts)
    with transaction() as session:
        level = request.form.get("level", AUTO)
        time = estimate(session, family, level, found.images) if found.images else None
    return render_template("_preview.html", draft=found, time=time, level=level)


@blueprint.get("/history")
@needs(Scope.READ)
def history() -> str:
    """The client's own prompts, the newest first."""
    with transaction() as session:
        return render_template("_history.html", prompts=prompts_of(session, client_of(), KEPT))


def draft(family: Family, prompts: list[str]) -> Draft:
    """The form as it stands. Where no seed was chosen, choices are shown as one seed of many would draw them."""
    if not prompts:
        return Draft(0, 0, [], [])
    try:
        without_image = {**request.form.to_dict(), "image": ""}  # one that is here need not be read for it
        job = options_of(without_image).job(prompts=prompts[:LOOKED_AT])
        if job.seed in (None, RANDOM):
            job.seed = secrets.randbelow(2**31)
        rows = rows_of(job, family)
    except ArgusError as error:
        return Draft(len(prompts), 0, [], [], error)
    drawn = [row["prompt"] for row in rows if row["prompt_asked"]]
    remarks = dict.fromkeys(
        note for row in rows for note in notes(row["prompt"], row["negative_prompt"], row["emphasis"])
    )
    return Draft(len(prompts), len(prompts) * job.n, list(dict.fromkeys(drawn))[:SHOWN], list(remarks))
