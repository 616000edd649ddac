"""`/preview`: what the form would make if it were sent now. `/history`: the prompts its client sent lately."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flask import render_template, request

from app.access import needs
from app.beginnings import IMAGE_STRENGTH
from app.clients import client_of
from app.prompts.notes import notes
from app.records.estimate import Work, estimate
from app.records.history import prompts_of
from app.submission import AUTO, rows_of
from app.web.blueprint import blueprint
from app.web.form import lines_of, options_of
from core.database import transaction
from core.errors import ArgusError
from core.families import Family, load_family
from core.keys import Scope
from core.kinds import OWN, PICTURES, kind_of, share_of
from core.numbers import RANDOM
from core.settings import settings
from core.states import ServiceClass

LOOKED_AT = 20  # prompts whose choices are drawn
SHOWN, KEPT = 6, 30


@dataclass(frozen=True)
class Draft:
    """How many images, of which work and class; what choices and wildcards make of the first prompts; remarks; the
    first thing that is wrong."""

    prompts: int
    images: int = 0
    work: Mapping[Work, float] = field(default_factory=dict)
    service_class: ServiceClass = ServiceClass.INTERACTIVE
    samples: Sequence[str] = ()
    remarks: Sequence[str] = ()
    error: ArgusError | None = None


@blueprint.post("/preview")
@needs(Scope.SUBMIT)
def preview() -> str:
    """How many images, how long they would take, and what choices and wildcards would make of the prompts."""
    family, prompts = load_family(settings().family), lines_of(request.form)
    found = draft(family, prompts)
    with transaction() as session:
        level = request.form.get("level", AUTO)
        time = estimate(session, family, found.service_class, found.work) if found.images else None
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
        return Draft(0)
    form = request.form.to_dict()
    try:
        share = _share(form)
        job = options_of({**form, "image": ""}).job(prompts=prompts[:LOOKED_AT])  # it need not be read for this
        if job.seed in (None, RANDOM):
            job.seed = secrets.randbelow(2**31)
        rows = rows_of(job, family)
    except ArgusError as error:
        return Draft(len(prompts), error=error)
    images = len(prompts) * job.n
    alike = Counter(Work(row["level_asked"], row["steps"], row["width"], row["height"], share) for row in rows)
    drawn = [row["prompt"] for row in rows if row["prompt_asked"]]
    remarks = dict.fromkeys(
        note for row in rows for note in notes(row["prompt"], row["negative_prompt"], row["emphasis"])
    )
    return Draft(
        prompts=len(prompts),
        images=images,
        work={work: images * n / len(rows) for work, n in alike.items()},
        service_class=ServiceClass(job.service_class),
        samples=list(dict.fromkeys(drawn))[:SHOWN],
        remarks=list(remarks),
    )


def _share(form: Mapping[str, str]) -> float:
    """What each image takes of one drawn from noise, by what becomes of the image that the form begins with."""
    if not (form.get("image") or form.get("image_file")):  # the latter is not sent yet, just named
        return 1.0
    said = options_of({**form, "image": "to be sent"})
    own_kind = kind_of(said.kind, [name for name in PICTURES if getattr(said, name)])
    return share_of(float(said.strength or IMAGE_STRENGTH) if own_kind not in OWN else None, own_kind)
