"""`/v1/models`: the names that `model` takes."""

from __future__ import annotations

from app.compat.conventions import error_responses
from app.compat.drawing import model_names
from app.compat.openai.blueprint import blueprint
from app.compat.openai.schemas import ERROR_BODY, ModelOut, ModelsOut
from app.submission import AUTO
from core.errors import NotFound
from core.families import load_family
from core.settings import settings


@blueprint.get("/models")
@blueprint.output(ModelsOut)
def list_models() -> ModelsOut:
    """List models

    The family served, of which Argus chooses a level, and each of its levels.
    """
    return ModelsOut(data=[ModelOut(id=name) for name in model_names(load_family(settings().family))])


@blueprint.get("/models/<model_id>")
@blueprint.output(ModelOut)
@blueprint.doc(responses=error_responses(ERROR_BODY, {404: "No such model"}))
def read_model(model_id: str) -> ModelOut:
    """Read a model

    Whether `model` takes this name.
    """
    names = model_names(load_family(settings().family))
    if model_id not in (AUTO, *names):
        raise NotFound(f"There is no model {model_id!r}. Use auto or one of: {', '.join(names)}.", field="model")
    return ModelOut(id=model_id)
