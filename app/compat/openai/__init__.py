"""OpenAI's Images API, for its clients: `/v1/images/generations`, `/v1/models`."""

from app.compat.openai import images, models  # noqa: F401 - they add their routes to `blueprint`
from app.compat.openai.blueprint import blueprint

__all__ = ["blueprint"]
