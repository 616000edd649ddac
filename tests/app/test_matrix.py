"""Every route, asked with no key, a foreign one, and one of each scope: made from the routes themselves.

A route that is added is in it by itself. Whom a route is for is what it says (`app.access.needs`); that is compared
with what is answered, so a check that is left out, or that comes too late, is seen.
"""

from __future__ import annotations

import io
import json
import uuid
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from app import create_app
from app.access import needed
from app.schemas.submission import JobIn
from app.security import COOKIE, FIELD
from core.keys import Scope
from tests.app.conftest import Held, configured, draw

CALL = {"custom_id": "a", "method": "POST", "url": "/v1/images/generations", "body": {"prompt": "a fox"}}
GRANTED = {"read": {Scope.READ}, "submit": {Scope.SUBMIT}, "metrics": {Scope.METRICS}, "admin": set(Scope)}
OF_OUR_OWN = ("job_id", "request_id", "image_id", "file_id", "batch_id")  # what names a thing that has an owner
NOT_ALLOWED = (401, 403)
REDIRECTED = 303
UNREAD = (400, 415, 422)  # refused for what was sent, before anything is looked for


def routes() -> list[tuple[Rule, str]]:
    """Each route with each method."""
    with configured():
        rules = list(create_app(secret="of a test").url_map.iter_rules())
    return [(rule, method) for rule in rules for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})]


def of_ours(client: FlaskClient, headers: dict[str, str]) -> dict[str, str]:
    """A thing of each kind that the tenant of this key owns, by the name that routes give its id."""
    job = client.post("/v1/jobs", json=JobIn(prompt="a fox").model_dump(exclude_none=True), headers=headers).get_json()
    request = job["requests"][0]["id"]
    sent: dict[str, Any] = {"file": (io.BytesIO(json.dumps(CALL).encode()), "calls.jsonl"), "purpose": "batch"}
    file = client.post("/v1/files", data=sent, headers=headers).get_json()["id"]
    wanted = {"input_file_id": file, "endpoint": CALL["url"], "completion_window": "24h"}
    batch = client.post("/v1/batches", json=wanted, headers=headers).get_json()["id"]
    ids = (job["id"], request, draw(request), file, batch)
    return dict(zip(OF_OUR_OWN, ids, strict=True))


def address(rule: Rule, things: dict[str, str]) -> str:
    others = {"format": "png", "filename": "argus.css", "model_id": "exact"}
    values = {name: things.get(name) or others.get(name) or _any(rule, name) for name in rule.arguments}
    found = rule.build({name: uuid.UUID(v) if _is_uuid(rule, name) else v for name, v in values.items()})
    assert found is not None
    return found[1]


def _any(rule: Rule, name: str) -> str:
    """A value that a route takes: one of those it lists, else an id that nothing has."""
    return str(min(getattr(rule._converters[name], "items", ()), default=uuid.uuid4()))


def _is_uuid(rule: Rule, name: str) -> bool:
    return type(rule._converters[name]).__name__ == "UUIDConverter"


@pytest.mark.parametrize(("rule", "method"), routes(), ids=lambda part: str(getattr(part, "rule", part)))
def test_a_route_is_for_whom_it_says(client: FlaskClient, keys: Held, rule: Rule, method: str) -> None:
    scopes, owned = needed(client.application, rule.endpoint), set(rule.arguments) & set(OF_OUR_OWN)
    things = of_ours(client, keys.bearer("both")) if owned else {}
    path = address(rule, things)

    form = {FIELD: "t"} if rule.endpoint.startswith("web.") and method == "POST" else None
    if form:
        client.set_cookie(COOKIE, "t")  # else forms are refused for their token

    def ask(headers: dict[str, str]) -> int:
        return client.open(path, method=method, headers=headers, data=form, buffered=False).status_code

    assert scopes is not None
    if not scopes:
        assert ask({}) not in NOT_ALLOWED or rule.endpoint == "web.take_key"  # which finds no key in the form
        return
    assert ask({}) == 401
    assert ask({"Accept": "text/html"}) in (401, REDIRECTED)
    if not set(scopes).isdisjoint({Scope.READ, Scope.SUBMIT}):
        foreign = ask(keys.bearer("foreign"))
        assert foreign in (404, *UNREAD * (method == "POST")) if owned else foreign not in NOT_ALLOWED
    for who, granted in GRANTED.items():
        answered = ask(keys.bearer(who))
        if granted.isdisjoint(scopes):
            assert answered == 403, who
        else:
            assert answered not in NOT_ALLOWED, who
