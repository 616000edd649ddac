"""Names of other servers' models that stand for a level here: ARGUS_MODEL_ALIASES."""

from __future__ import annotations

from fnmatch import fnmatchcase

from app.submission import AUTO
from core.errors import ModelNotFound
from core.families import Family
from core.settings import settings


def level_meant(name: str, family: Family) -> str | None:
    """The level that a name means, or `auto`: its own, the family's, or by the first alias that fits; else None.

    Raises:
        ModelNotFound: an alias fits, and means what the family does not have.
    """
    if (found := _level(name, family)) is not None:
        return found
    for pattern, target in settings().aliases:
        if any(fnmatchcase(one, pattern.lower()) for one in (name.lower(), bare(name))):
            if (found := _level(target, family)) is not None:
                return found
            raise ModelNotFound(
                f"ARGUS_MODEL_ALIASES has {name!r} mean {target!r}, which family {family.id} does not have.",
                field="model",
            )
    return None


def bare(name: str) -> str:
    """A name in small letters, without the provider that gateways put in front: `openai/gpt-image-1`."""
    return name.lower().strip().rpartition("/")[2]


def _level(name: str, family: Family) -> str | None:
    if name in (AUTO, family.id):
        return AUTO
    return name if name in family.levels else None
