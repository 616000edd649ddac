"""Other people's APIs, so that clients written for them work here: the shapes are theirs, behind them is `app.jobs`.

=========== ==================================================================
openai      OpenAI's Images API: `/v1/images/generations`, `/v1/models`
a1111       the API of AUTOMATIC1111's web UI: `/sdapi/v1`
drawing     submit, wait, read: how both draw
conventions JSON only, errors as the client's API has them, the job in a header
=========== ==================================================================
"""

from __future__ import annotations

from apiflask import APIBlueprint

from app.compat import a1111, openai


def blueprints() -> list[APIBlueprint]:
    """Each API's routes."""
    return [openai.blueprint, openai.forms, a1111.blueprint, a1111.probes]
