"""`/v1/models`: the names that `model` takes."""

from __future__ import annotations

from app.access import needs
from app.compat.conventions import error_responses
from app.compat.openai.blueprint import blueprint
from app.compat.openai.names import level_named, names
from app.compat.openai.schemas import ERROR_BODY, ModelOut, ModelsOut
from core.families import load_family
from core.keys import Scope
from core.settings import settings


@blueprint.get("/models")
@needs(Scope.READ, Scope.SUBMIT)
@blueprint.output(ModelsOut)
def list_models() -> ModelsOut:
    """List models

    The family served, of which Argus chooses a level, each of its levels, and aliases (ARGUS_MODEL_ALIASES).
    """
    return ModelsOut(data=[ModelOut(id=name) for name in names(load_family(settings().family))])


@blueprint.get("/models/<model_id>")
@needs(Scope.READ, Scope.SUBMIT)
@blueprint.output(ModelOut)
@blueprint.doc(responses=error_responses(ERROR_BODY, {404: "No such model"}))
def read_model(model_id: str) -> ModelOut:
    """Read a model

    Whether `model` takes this name.
    """
    level_named(model_id, load_family(settings().family))
    return ModelOut(id=model_id)
