"""The API of AUTOMATIC1111's web UI: `POST /sdapi/v1/txt2img`, and what its clients ask before and meanwhile.

Shapes as in https://github.com/AUTOMATIC1111/stable-diffusion-webui, modules/api. Its clients send dozens of fields:
those that mean nothing here and those of how a checkpoint is run (each level brings its own) are ignored, those that
ask for another picture than the words do are refused unless they are off.
"""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint

from app.compat.a1111.answers import A1111Error
from app.compat.conventions import REFUSALS, Words, error_responses, set_up
from app.schemas.errors import ErrorDetail

blueprint = APIBlueprint("a1111", __name__, url_prefix="/sdapi/v1", tag="AUTOMATIC1111 clients")
SOURCE = "a1111"
ERRORS = error_responses(A1111Error.model_json_schema(), REFUSALS)  # of what draws
REFUSED = {400: ERRORS[400]}  # of what takes anything else
FIELDS = {
    "guidance": "cfg_scale",
    "level": "override_settings.sd_model_checkpoint",
    "prompts": "n_iter",
}  # our fields by their names here


def _error_body(error: ErrorDetail, _status: int) -> dict[str, Any]:
    place = f"{error.field}: " if error.field else ""
    return A1111Error(error=error.code, detail=error.message, errors=f"{place}{error.message}").model_dump()


set_up(blueprint, Words(("/sdapi/",), _error_body, FIELDS))
