"""What every operation may answer beside its own answers, added to the OpenAPI document."""

from __future__ import annotations

from typing import Any

from apiflask import APIFlask
from flask import Response, json, request

from app.compat.a1111.answers import A1111Error
from app.compat.openai.schemas import ERROR_BODY as OPENAI_ERROR
from app.links import root
from app.schemas.errors import ERROR_BODY
from core.errors import PROBLEM_TYPE

ALWAYS = {
    400: "A parameter that cannot be",
    401: "Keys are demanded, and none that is good was sent",
    403: "The key may not do this; a page of another site, or a name that is not in ARGUS_HOSTS",
    503: "PostgreSQL or the image store cannot be reached; nothing was accepted",
}
AGAIN = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}
WITH_AGAIN = ("429", "503")
WITH_INPUT = {422: "A value out of range"}
WITH_BODY = {413: "More than one request may carry", 415: "A body of another type than this address takes"}
PLACE = "#/components/schemas/"
A1111_ERROR = A1111Error.model_json_schema()
PROBLEM = "Problem"
ERRORS = {PROBLEM: ERROR_BODY, "OpenAIErrorBody": OPENAI_ERROR, "A1111Error": A1111_ERROR}
OPENAI_ADDRESSES = (
    *("/v1/images/generations", "/v1/images/edits", "/v1/images/variations"),
    *("/v1/models", "/v1/files", "/v1/batches"),
)
BODIES = (("/sdapi/", A1111_ERROR), (OPENAI_ADDRESSES, OPENAI_ERROR))  # by what an address begins with
NEIGHBOURS = "/v1/images/"  # among OpenAI's addresses, and ours: one that there is not is refused in OpenAI's words


def register(app: APIFlask) -> None:
    """Complete the app's document; it is made once, and answered with the path at which a proxy has Argus."""
    app.spec_processor(complete)
    app.after_request(_below_the_path)


def _below_the_path(response: Response) -> Response:
    if request.endpoint == "openapi.spec" and root():
        response.set_data(json.dumps({**response.get_json(), "servers": [{"url": root()}]}))
    return response


def complete(document: Any) -> Any:
    """The document with these answers wherever an operation does not describe them itself, and where they are."""
    document["servers"] = [{"url": "/"}]
    for path, methods in document["paths"].items():
        schema = next((body for start, body in BODIES if path.startswith(start)), ERROR_BODY)
        content = {PROBLEM_TYPE if schema is ERROR_BODY else "application/json": {"schema": schema}}
        for method, operation in methods.items():
            if method == "parameters":
                continue
            takes_input = schema is not OPENAI_ERROR and (operation.get("parameters") or method == "post")
            reasons = {**ALWAYS, **(WITH_INPUT if takes_input else {})}
            reasons |= WITH_BODY if method == "post" else {}
            for status, reason in reasons.items():
                operation["responses"].setdefault(str(status), {"description": reason, "content": content})
            for answer in (operation["responses"][status] for status in WITH_AGAIN if status in operation["responses"]):
                answer["headers"] = AGAIN
    document["tags"] = list({tag["name"]: tag for tag in document["tags"]}.values())  # blueprints may share one
    return _named_once(document)


def _named_once(document: Any) -> Any:
    """The document with each shape under one name of its own: those that generate clients make a class of each.

    APIFlask writes a shape within another as `Outer.Inner`, once for each outer one, and error bodies in full.
    """
    schemas: dict[str, Any] = document["components"]["schemas"]
    bodies = {name: next((body for body, shape in ERRORS.items() if shape == schemas[name]), name) for name in schemas}
    names = {name: body.rpartition(".")[2] for name, body in bodies.items()}
    moved = _replaced(document, {f"{PLACE}{old}": f"{PLACE}{new}" for old, new in names.items()})
    shapes: dict[str, Any] = moved["components"]["schemas"]
    for old, new in names.items():
        if shapes.setdefault(new, shapes[old]) != shapes[old]:
            raise ValueError(f"Two shapes are called {new}: name one of them otherwise.")
    moved["components"]["schemas"] = {name: shapes[name] for name in sorted(set(names.values()))} | ERRORS
    for path, methods in moved["paths"].items():
        for operation in (each for each in methods.values() if "responses" in each):
            for status, answer in operation["responses"].items():
                _name_error(answer)
                _in_its_words(path, status, answer)
    return moved


def _name_error(answer: dict[str, Any]) -> None:
    """Have an answer that is an error refer to its shape, and a problem be of its own media type."""
    bodies = {}
    for kind, content in answer.get("content", {}).items():
        name = next((name for name, body in ERRORS.items() if content["schema"] == body), None)
        content["schema"] = {"$ref": f"{PLACE}{name}"} if name else content["schema"]
        bodies[PROBLEM_TYPE if content["schema"] == {"$ref": f"{PLACE}{PROBLEM}"} else kind] = content
    if bodies:
        answer["content"] = bodies


def _in_its_words(path: str, status: str, answer: dict[str, Any]) -> None:
    """Have a problem at an address of another server's API be what that API calls an error."""
    problem = answer.get("content", {}).get(PROBLEM_TYPE)
    shape = next((body for start, body in BODIES if path.startswith(start)), None)
    if problem is None or (shape is None and not (path.startswith(NEIGHBOURS) and status == "404")):
        return
    name = next(name for name, body in ERRORS.items() if body == (shape or OPENAI_ERROR))
    told = {"application/json": {"schema": {"$ref": f"{PLACE}{name}"}}}
    answer["content"] = told if shape else {PROBLEM_TYPE: problem, **told}


def _replaced(part: Any, references: dict[str, str]) -> Any:
    """A copy with other references."""
    if isinstance(part, dict):
        return {
            key: references.get(value, value) if key == "$ref" else _replaced(value, references)
            for key, value in part.items()
        }
    return [_replaced(one, references) for one in part] if isinstance(part, list) else part
