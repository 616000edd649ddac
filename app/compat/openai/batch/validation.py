"""A batch's file as a whole: where a line is no call at all, or cannot be told from another, the batch fails.

What is wrong with the body of a call is its line's own error, which the others do not share (`intake.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from app.compat.openai.batch.files import Line

ADDRESS = "/v1/images/generations"
MOST_LINES = 50_000
MOST_ERRORS = 100
ID_CHARS = 512


def check(lines: Iterable[Line]) -> tuple[int, list[dict[str, Any]]]:
    """How many lines a file has, and what is wrong with it, as OpenAI's `batch.errors.data` has that."""
    number, errors, known = 0, list[dict[str, Any]](), set[str]()
    for number, line in enumerate(lines, 1):
        if number > MOST_LINES:
            return number, [problem("too_many_requests", f"More than {MOST_LINES:,} lines: split the file.", None)]
        if (found := _problem(line.text, number, known)) and len(errors) < MOST_ERRORS:
            errors.append(found)
    if not number:
        errors.append(problem("empty_file", "The file has no lines: send a call a line.", None))
    return number, errors


def call_on(text: bytes) -> dict[str, Any] | None:
    """The call that a line holds; None where it is no JSON object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def problem(code: str, message: str, line: int | None, param: str | None = None) -> dict[str, Any]:
    """An entry of `batch.errors.data`."""
    return {"code": code, "message": message, "line": line, "param": param}


def _problem(text: bytes, number: int, known: set[str]) -> dict[str, Any] | None:
    call = call_on(text)
    if call is None:
        return problem("invalid_json_line", "This line is no JSON object.", number)
    own = call.get("custom_id")
    if not isinstance(own, str) or not 0 < len(own) <= ID_CHARS or "\0" in own:
        return problem(
            "invalid_custom_id", f"`custom_id` has to be a text of 1 to {ID_CHARS} characters.", number, "custom_id"
        )
    if own in known:
        return problem("duplicate_custom_id", f"{own[:80]!r} is the id of an earlier line.", number, "custom_id")
    known.add(own)
    if call.get("method") != "POST":
        return problem("invalid_method", "`method` has to be POST.", number, "method")
    if call.get("url") != ADDRESS:
        return problem("invalid_url", f"`url` has to be {ADDRESS}, as the batch's `endpoint`.", number, "url")
    if not isinstance(call.get("body"), dict):
        return problem("missing_required_parameter", "`body` is missing, or no object.", number, "body")
    return None
