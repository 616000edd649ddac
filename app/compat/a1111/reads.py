"""What clients of the web UI ask before and while they draw: models, samplers, options, progress."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import select

from app.compat.a1111.blueprint import SAMPLER, SOURCE, blueprint
from app.compat.a1111.schemas import OptionsOut, ProgressOut, Sampler, SdModel
from app.compat.drawing import model_names
from app.records.jobs import counts_of
from core.database import transaction
from core.families import load_family
from core.settings import settings
from core.tables import OPEN_STATES, Job, Request

IDLE: dict[str, Any] = {
    **{"skipped": False, "interrupted": False, "job": "", "job_count": 0, "job_no": 0, "job_timestamp": "0"},
    **{"sampling_step": 0, "sampling_steps": 0},
}


@blueprint.get("/sd-models")
@blueprint.output(list[SdModel])  # type: ignore[arg-type]  # APIFlask takes lists; its types do not say so
def list_models() -> list[SdModel]:
    """List models

    The family served, of which Argus chooses a level, and each of its levels.
    """
    names = model_names(load_family(settings().family))
    return [SdModel(title=name, model_name=name, filename=name) for name in names]


@blueprint.get("/samplers")
@blueprint.output(list[Sampler])  # type: ignore[arg-type]  # APIFlask takes lists; its types do not say so
def list_samplers() -> list[Sampler]:
    """List samplers

    One name: each level brings its own sampler.
    """
    return [Sampler(name=SAMPLER)]


@blueprint.get("/options")
@blueprint.output(OptionsOut)
def read_options() -> OptionsOut:
    """Read options

    The model is always the family: name a level in `override_settings` of a call.
    """
    return _options()


@blueprint.post("/options")
@blueprint.output(OptionsOut, description="Nothing was changed; the options in force")
def write_options() -> OptionsOut:
    """Change nothing

    Here options are everybody's: they stay as they are. Name a level in `override_settings` of a call.
    """
    return _options()


@blueprint.get("/progress")
@blueprint.output(ProgressOut)
def read_progress() -> ProgressOut:
    """Read progress

    Of everything that was sent to `txt2img`; a job's own progress is in `/v1/jobs`.
    """
    waiting = select(Request.job_id).join(Job).where(Job.source == SOURCE, Request.state.in_(OPEN_STATES)).distinct()
    with transaction() as session:
        counts = sum(counts_of(session, session.scalars(waiting)).values(), Counter[str]())
    unfinished = sum(counts[state] for state in OPEN_STATES)
    progress = 1.0 - unfinished / counts.total() if unfinished else 0.0
    return ProgressOut(progress=progress, state={**IDLE, "job_count": unfinished})


@blueprint.get("/cmd-flags")
@blueprint.doc(responses={200: "Flags"})
def read_flags() -> dict[str, Any]:
    """Read command-line flags

    What clients look for: that the API is on.
    """
    return {"api": True, "nowebui": False}


def _options() -> OptionsOut:
    return OptionsOut(sd_model_checkpoint=load_family(settings().family).id)
