"""Fields of forms, as what they ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from app.idempotency import FIELD as KEY_FIELD
from app.schemas.submission import FormIn
from app.security import FIELD
from app.submission import input_error
from app.web.becomes import DRAWN, FIELDS, becomes
from core.settings import settings

Asked = TypeVar("Asked", bound=BaseModel)
PLAIN = ("prompts", "size", "file", "image_file", "mask_file", FIELD, KEY_FIELD)  # not options of a job
OF_IMAGE = ("mask", "strength")  # fields that say nothing without an image


def validated(kind: type[Asked], given: Mapping[str, Any]) -> Asked:
    """Fields as a schema takes them; raises the first thing that is wrong (`input_error`)."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise input_error(error) from None


def options_of(form: Mapping[str, str]) -> FormIn:
    """The fields of the form on `/` as options of a job; `128x64` is a width and a height."""
    own = becomes(form)
    out = {*PLAIN, *FIELDS, *(() if form.get("image") else OF_IMAGE), *(DRAWN if own else ())}
    options = {name: value for name, value in form.items() if name not in out}
    width, _, height = ("" if own else form.get("size", "")).partition("x")
    return validated(FormIn, {**options, **own, "width": width, "height": height})


def lines_of(form: Mapping[str, str]) -> list[str]:
    """The prompts, a line each; one more than may be sent, where there are too many."""
    lines = (found[0] for found in re.finditer(r"[^\r\n]+", form.get("prompts", "")))
    return list(islice((line for line in lines if line.strip()), settings().max_prompts + 1))
