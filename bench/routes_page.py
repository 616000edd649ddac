"""The page docs/routes.md: every route with its methods, whom it is for and what it does, read from the routes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from werkzeug.routing import Rule

from app import create_app
from app.access import needed

HEAD = """# Routes

After this page you know every address of the web process: which methods it takes, which scope a key needs for it, and
what it does.

A key needs one of the scopes that are listed, or `admin`; *everybody* needs none. Where keys are not demanded
([keys.md](keys.md)), everybody may do all. What has an owner (jobs, requests, images, files, batches) is there for its
tenant's keys only. Bodies and answers are at `/docs` of a running Argus, and in `/openapi.json`.
`tests/app/test_matrix.py` asks every route with no key, a foreign one and one of each scope.

Made from the routes by `make docs`."""

NATIVE = "The API"
SECTIONS = {  # by what the names of a section's routes begin with
    "OpenAI's addresses": ("openai",),
    "AUTOMATIC1111's addresses": ("a1111",),
    "Pages": ("web.",),
    "Operating": ("ops.", "static", "openapi.spec"),
}
TABLE = ("| method | address | scope | what it does |", "| --- | --- | --- | --- |")
OF_LIBRARIES = {"static": "A file that pages load.", "openapi.spec": "The API, by OpenAPI 3."}


def routes_page() -> str:
    """Every route with each method."""
    app = create_app(secret="of a page")
    spec: Any = app.spec
    tables: dict[str, list[str]] = {name: [] for name in (NATIVE, *SECTIONS)}
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        tables[_section(rule.endpoint)] += _lines(app, rule, spec["paths"].get(_address(rule), {}))
    lines = [HEAD]
    for name, rows in tables.items():
        lines += ["", f"## {name}", "", *TABLE, *rows]
    return "\n".join([*lines, ""])


def _section(endpoint: str) -> str:
    return next((name for name, begins in SECTIONS.items() if endpoint.startswith(begins)), NATIVE)


def _lines(app: Any, rule: Rule, operations: Mapping[str, Any]) -> Iterator[str]:
    scopes = " or ".join(f"`{scope}`" for scope in needed(app, rule.endpoint) or ()) or "*everybody*"
    for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
        summary = operations.get(method.lower(), {}).get("summary")
        told = OF_LIBRARIES.get(rule.endpoint) or summary or app.view_functions[rule.endpoint].__doc__
        yield f"| {method} | `{_address(rule)}` | {scopes} | {_sentence(told)} |"


def _address(rule: Rule) -> str:
    """With its parts as OpenAPI writes them."""
    return re.sub(r"<(?:[^<>]*:)?(\w+)>", r"{\1}", rule.rule)


def _sentence(told: str) -> str:
    """The first of what is told of a route: its summary, which is the first line of its docstring, or that."""
    first = re.split(r"(?<=\.)\s|\n\n", told.strip())[0]
    return " ".join(first.split()).removesuffix(".").replace("|", "\\|") + "."
