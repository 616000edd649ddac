"""What AUTOMATIC1111's web UI writes about an image: the text that its gallery, its clients and other tools read.

::

    a red apple
    Negative prompt: a worm
    Steps: 20, Sampler: Euler, CFG scale: 7.5, Seed: 7, Size: 512x512, Model hash: 6ce0161689, Model: sdxl, Version: …

As modules/processing.py `create_infotext` and modules/infotext_utils.py of that project write and read it. Who reads it
takes the last line for the parameters and cuts at `Negative prompt:`, so a prompt may hold neither a line break nor
those words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

NAME = "parameters"  # of the text chunk that holds it
NEGATIVE = "Negative prompt:"
PARAMETER = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
SIZE = re.compile(r"(\d+)x(\d+)")


def infotext(prompt: str, negative_prompt: str, parameters: Mapping[str, Any]) -> str:
    """The text; parameters that are None are left out."""
    lines = [_one_line(prompt)]
    if negative_prompt:
        lines.append(f"{NEGATIVE} {_one_line(negative_prompt)}")
    known = {name: value for name, value in parameters.items() if value is not None}
    lines.append(", ".join(f"{name}: {_quoted(value)}" for name, value in known.items()))
    return "\n".join(lines).strip()


def read_infotext(text: str) -> dict[str, str]:
    """Its parts by name: `Prompt`, `Negative prompt`, and each parameter, a size as `Size-1` and `Size-2`.

    Empty where the text is no such one.
    """
    *lines, last = text.strip().split("\n")
    found = PARAMETER.findall(last)
    if len(found) < 3:
        return {}
    prompt, _, negative = "\n".join(lines).partition(NEGATIVE)
    parts = {"Prompt": prompt.strip(), "Negative prompt": negative.strip()}
    for name, value in found:
        if size := SIZE.fullmatch(value):
            parts |= {f"{name}-1": size[1], f"{name}-2": size[2]}
        else:
            parts[name] = _unquoted(value)
    return parts


@cache
def program() -> str:
    """Argus and its version."""
    try:
        return f"Argus {version('argus')}"
    except PackageNotFoundError:  # the sources alone
        return "Argus"


def _one_line(text: str) -> str:
    return " ".join(text.splitlines()).replace(NEGATIVE, f"{NEGATIVE[:-1]} :")


def _quoted(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r"[,:\n]", text) else text


def _unquoted(value: str) -> str:
    try:
        return str(json.loads(value)) if value.startswith('"') else value
    except ValueError:
        return value
