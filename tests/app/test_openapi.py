"""The OpenAPI document is made from the code, and true."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import validate

from app import openapi
from core.settings import ROOT


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method != "parameters":
                yield path, method, operation


def test_every_route_of_the_apis_is_described_with_its_errors(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    described = {(re.sub(r"{(\w+)}", r"<\1>", path), method.upper()) for path, method, _ in operations(document)}
    routes = {
        (re.sub(r"<[^<>]+:(\w+)>", r"<\1>", rule.rule), method)
        for rule in client.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith(("/v1", "/sdapi"))
    }
    assert described == routes
    for path, method, operation in operations(document):
        assert operation["summary"], (path, method)
        assert operation["description"], (path, method)
        assert "{" not in path or "404" in operation["responses"]


def test_the_document_is_valid_openapi(client: FlaskClient) -> None:
    validate(client.get("/openapi.json").get_json())


def test_every_reference_in_the_document_leads_somewhere(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    known = set(document["components"]["schemas"])
    used = set(re.findall(r'"#/components/schemas/([^"]+)"', client.get("/openapi.json").text))
    assert used
    assert used <= known


def test_the_examples_of_a_submission_are_accepted(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    for name, example in body["examples"].items():
        assert client.post("/v1/jobs", json=example["value"]).status_code == 202, name


def test_web_starts_without_torch() -> None:
    code = "import sys, app; app.create_app(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_page_about_the_api_names_every_route_and_option_and_no_others(client: FlaskClient) -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    document = client.get("/openapi.json").get_json()
    told = {(m.lower(), p) for m, p in re.findall(r"`(GET|POST|PUT|PATCH|DELETE) ([^`?]+)[^`]*`", page)}
    assert told == {(method, path) for path, method, _ in operations(document)}
    options = document["components"]["schemas"]["JobIn"]["properties"]
    assert all(f"`{name}`" in page for name in options)


def test_each_shape_has_one_name_and_errors_are_shapes(client: FlaskClient) -> None:
    """Clients are generated with a class a shape; two of a name are one too many."""
    document = client.get("/openapi.json").get_json()
    assert not [name for name in document["components"]["schemas"] if "." in name]
    refused = document["paths"]["/v1/jobs"]["post"]["responses"]["400"]["content"]
    assert refused == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def test_two_shapes_of_one_name_are_found() -> None:
    outer = {"Job.Line": {"type": "string"}, "Page.Line": {"type": "integer"}}
    with pytest.raises(ValueError, match="Two shapes are called Line"):
        openapi.complete({"paths": {}, "tags": [], "components": {"schemas": outer}})
