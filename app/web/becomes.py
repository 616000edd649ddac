"""What the form says becomes of the image it begins with, where it is not drawn from: restored, or fused with another.

The API takes an `operator` as an object; a form has a choice, and a number beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from core.operators import SIZES

CHOICES = {
    "": "It is drawn from",
    "blur": "Restored: it is blurred",
    "down": "Restored: it was made smaller",
    "mask": "Restored: what is masked is unknown",
    "translation": "Translated: it is a sketch, or grey",
    "fusion": "Fused with an infrared image of the same scene",
}
FIELDS = ("becomes", "sigma", "factor", "second_image", "second_file")
USUAL = {"sigma": "1.5", "factor": "4"}
NOISE = 0.01  # of what is measured, which a form does not ask for
DRAWN = ("strength", "size", "min_quality")  # options of what is drawn from an image


def becomes(form: Mapping[str, str]) -> dict[str, Any]:
    """Options of a job for what was chosen; none where the image is drawn from, or there is none."""
    chosen = form.get("becomes", "") if form.get("image") else ""
    if chosen == "fusion":
        return {"kind": "fusion", "second_image": form.get("second_image") or None}
    if chosen == "mask":
        return {"kind": "restoration", "operator": {"operator": "mask", "noise": NOISE}}
    if chosen == "down":
        return {"operator": {"operator": "down", "factor": _number(form, "factor"), "noise": NOISE}}
    if chosen == "blur":
        sigma = _number(form, "sigma")
        return {"operator": {"operator": "blur", "sigma": sigma, "size": kernel_size(sigma), "noise": NOISE}}
    return {"kind": chosen} if chosen else {}


def kernel_size(sigma: str) -> int:
    """Of a Gaussian kernel, four deviations to each side; of what is no number the least."""
    try:
        reach = math.ceil(4 * float(sigma))
    except (ValueError, OverflowError):
        reach = 1
    return min(max(2 * reach + 1, SIZES[0]), SIZES[1])


def _number(form: Mapping[str, str], name: str) -> str:
    return form.get(name, "").strip() or USUAL[name]
