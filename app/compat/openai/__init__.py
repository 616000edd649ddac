"""OpenAI's Images API, for its clients: `/v1/images/generations`, `/v1/models`; Files and Batch in `batch/`."""

from app.compat.openai import edits, images, models  # noqa: F401 - they add their routes to the blueprints
from app.compat.openai.batch import routes  # noqa: F401
from app.compat.openai.blueprint import blueprint, forms

__all__ = ["blueprint", "forms"]
