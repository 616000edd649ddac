"""What the web UI calls checkpoints: here the family, of which Argus chooses a level, and each level."""

from __future__ import annotations

import re

from app.compat.a1111.answers import SdModel
from app.compat.aliases import level_meant
from app.compat.drawing import model_names
from app.submission import AUTO
from core.families import Family

HASH = re.compile(r"\s*\[[0-9a-fA-F]*\]$")
ENDINGS = (".safetensors", ".ckpt")
LEFT_TO_ARGUS = ("", AUTO, "automatic", "none")


def level_named(checkpoint: str | None, family: Family) -> str:
    """The level that a checkpoint's name asks for: title, name, file name or alias, with a hash or without.

    An unknown name is answered as it is: `jobs.submit` refuses it and names those there are.
    """
    plain = HASH.sub("", checkpoint or "").strip()
    for ending in ENDINGS:
        plain = plain.removesuffix(ending)
    if plain.lower() in LEFT_TO_ARGUS:
        return AUTO
    known = {name.lower(): name for name in model_names(family)}
    return level_meant(known.get(plain.lower(), plain), family) or plain


def checkpoints(family: Family) -> list[SdModel]:
    """The family and its levels, each as the web UI lists a checkpoint."""
    return [checkpoint(name, family) for name in model_names(family)]


def checkpoint(name: str, family: Family) -> SdModel:
    """A name as the web UI lists it; a level has the hash of its model, where that is known."""
    model = family.models[family.levels[name].model] if name in family.levels else None
    sha256, short = (model.sha256, model.short_hash) if model else (None, None)
    title = f"{name} [{short}]" if short else name
    return SdModel(title=title, model_name=name, hash=short, sha256=sha256, filename=name)
