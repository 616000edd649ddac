"""The fields of the form on `/`, as options of a job."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice

from app.idempotency import FIELD as KEY_FIELD
from app.security import FIELD
from core.settings import settings

PLAIN = ("prompts", "size", "file", FIELD, KEY_FIELD)  # fields of the form that are not options of a job


def options_of(form: Mapping[str, str]) -> dict[str, str]:
    """The fields as options; `128x64` is a width and a height."""
    options = {name: value for name, value in form.items() if name not in PLAIN}
    width, _, height = form.get("size", "").partition("x")
    return {**options, "width": width, "height": height}


def lines_of(form: Mapping[str, str]) -> list[str]:
    """The prompts, a line each; one more than may be sent, where there are too many."""
    lines = (found[0] for found in re.finditer(r"[^\r\n]+", form.get("prompts", "")))
    return list(islice((line for line in lines if line.strip()), settings().max_prompts + 1))
