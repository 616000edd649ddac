"""What every operation may answer beside its own answers, added to the OpenAPI document."""

from __future__ import annotations

from typing import Any

from app.compat.a1111.answers import A1111Error
from app.compat.openai.schemas import ERROR_BODY as OPENAI_ERROR
from app.schemas.errors import ERROR_BODY

ALWAYS = {
    400: "A parameter that cannot be",
    403: "A page of another site, or a name that is not in ARGUS_HOSTS",
    503: "PostgreSQL or the image store cannot be reached; nothing was accepted",
}
WITH_INPUT = {422: "A value out of range"}
WITH_BODY = {413: "More than one request may carry", 415: "A body of another type than this address takes"}
BODIES = (  # by what an address begins with
    ("/sdapi/", A1111Error.model_json_schema()),
    *((address, OPENAI_ERROR) for address in ("/v1/images/generations", "/v1/images/edits", "/v1/images/variations")),
    ("/v1/models", OPENAI_ERROR),
    ("/v1/files", OPENAI_ERROR),
    ("/v1/batches", OPENAI_ERROR),
)


def complete(document: Any) -> Any:
    """The document with these answers wherever an operation does not describe them itself."""
    for path, methods in document["paths"].items():
        schema = next((body for start, body in BODIES if path.startswith(start)), ERROR_BODY)
        content = {"application/json": {"schema": schema}}
        for method, operation in methods.items():
            if method == "parameters":
                continue
            takes_input = schema is not OPENAI_ERROR and (operation.get("parameters") or method == "post")
            reasons = {**ALWAYS, **(WITH_INPUT if takes_input else {})}
            reasons |= WITH_BODY if method == "post" else {}
            for status, reason in reasons.items():
                operation["responses"].setdefault(str(status), {"description": reason, "content": content})
    document["tags"] = list({tag["name"]: tag for tag in document["tags"]}.values())  # blueprints may share one
    return document
