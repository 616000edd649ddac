"""What `model` may name: a level, the family, `auto`, or a name of OpenAI's that stands for one of them."""

from __future__ import annotations

from app.compat.aliases import bare, level_meant
from app.compat.drawing import model_names
from app.submission import AUTO
from core.errors import ModelNotFound
from core.families import Family
from core.settings import settings

GPT_IMAGES = ("gpt-image-", "chatgpt-image-")


def level_named(model: str | None, family: Family) -> str:
    """The level that a model's name asks for, or `auto`; raises `ModelNotFound`."""
    name = model or AUTO
    if (found := level_meant(name, family)) is not None:
        return found
    known = ", ".join((AUTO, *names(family)))
    raise ModelNotFound(f"There is no model {name[:80]!r}. Use one of: {known}; or ARGUS_MODEL_ALIASES.", field="model")


def names(family: Family) -> list[str]:
    """What `/v1/models` lists: the family, its levels, and aliases that are names."""
    spelt = [pattern for pattern, _ in settings().aliases if not set(pattern) & set("*?[")]
    return [*model_names(family), *spelt]


def is_gpt_image(model: str | None) -> bool:
    """Whether its clients expect what OpenAI's GPT image models answer: base64 in any case, no link unless they ask.

    Open WebUI fetches a link where there is one, and refuses to from one's own network.
    """
    return bare(model or "").startswith(GPT_IMAGES)
