"""`<lora:name:0.8>`: the LoRAs that a prompt names, taken out of its text, and those that a request lists beside it.

As AUTOMATIC1111's web UI writes them. Families without LoRAs leave such tags in the text, and the request says so
(`notes`). In a family that has some, a name that is not among them is refused: the picture would be another one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.schemas.submission import LoraIn
from core.errors import ArgusError, BadInput, OutOfRange, UnknownLevel
from core.families import Family
from core.loras import DIGITS, LEAST_WEIGHT, MOST, MOST_WEIGHT, LoraUse, written_loras
from core.numbers import number

TAG = re.compile(r"<lora:([^<>]*)>", re.IGNORECASE)


def take_tags(text: str, family: Family, field: str) -> tuple[str, list[LoraUse]]:
    """A prompt without its tags, and what they name; the text as it is in families without LoRAs.

    Raises:
        UnknownLora, BadInput, OutOfRange: as `use_of`.
    """
    if not family.loras or "<lora:" not in text.lower():
        return text, []
    uses = [_tagged(found[1], family, field) for found in TAG.finditer(text)]
    return " ".join(TAG.sub(" ", text).split()), uses


def use_of(given: LoraIn, family: Family, field: str) -> LoraUse:
    """A LoRA that is named, with the family's weight where none is given.

    Raises:
        UnknownLora: the family does not have it.
        OutOfRange: the weight.
    """
    try:
        lora = family.lora(given.name)
    except ArgusError as error:
        error.field = field
        raise
    weight = round(lora.weight if given.weight is None else given.weight, DIGITS)
    if not LEAST_WEIGHT <= weight <= MOST_WEIGHT:
        raise OutOfRange(
            f"LoRA {lora.id!r} with the weight {weight:g}: it is {LEAST_WEIGHT:g} to {MOST_WEIGHT:g}.", field=field
        )
    return LoraUse(lora.id, weight)


def together(uses: Sequence[LoraUse], family: Family, level: str | None, fields: tuple[str, str]) -> str | None:
    """All LoRAs of one row as it has them; none where there are none.

    Args:
        level: asked for by name, if one was.
        fields: where LoRAs and the level stand, for errors.

    Raises:
        BadInput: one of them twice.
        OutOfRange: more than one request may have.
        UnknownLevel: the level cannot draw with them.
    """
    names = [use.name for use in uses]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(f"LoRA {twice!r} is named twice: name it once, with one weight.", field=fields[0])
    if len(uses) > MOST:
        raise OutOfRange(f"{len(uses)} LoRAs; a request has at most {MOST}.", field=fields[0])
    loras = written_loras(uses)
    if level is not None and not family.draws(level, loras):
        able = ", ".join(one for one in family.levels if family.draws(one, loras))
        raise UnknownLevel(
            f"Level {level!r} cannot draw with LoRA {' and '.join(names)}. Use auto or one of: {able}.", field=fields[1]
        )
    return loras


def _tagged(inside: str, family: Family, field: str) -> LoraUse:
    """`name`, `name:0.8`, or `name:0.8:0.8`, where the second is that of the denoiser."""
    name, *weights = (part.strip() for part in inside.split(":"))
    try:
        found = {number(weight) for weight in weights}
    except ArgusError as error:
        raise type(error)(f"<lora:{inside[:80]}>: {error.message}", field=field) from None
    if len(found) > 1:
        raise BadInput(
            f"<lora:{inside[:80]}> has several weights: a LoRA has one, for text encoder and denoiser alike.",
            field=field,
        )
    return use_of(LoraIn(name=name, weight=next(iter(found), None)), family, field)
