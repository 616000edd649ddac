"""The API of AUTOMATIC1111's web UI, for its clients: `/sdapi/v1`."""

from app.compat.a1111 import reads, txt2img  # noqa: F401 - they add their routes to `blueprint`
from app.compat.a1111.blueprint import blueprint

__all__ = ["blueprint"]
