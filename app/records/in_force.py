"""Settings in force: their values, where they come from, and what they mean. Secrets are not told."""

from __future__ import annotations

import os
from dataclasses import dataclass

from core.settings import PREFIX, SECRETS, Settings, settings

HIDDEN = "…"


@dataclass(frozen=True)
class InForce:
    """A setting: `origin` is the environment or its default."""

    name: str
    value: str
    origin: str
    meaning: str
    changed: bool


def in_force() -> list[InForce]:
    """Every setting by name, as this process has it."""
    found = []
    for name, field in Settings.model_fields.items():
        value, variable = getattr(settings(), name), f"{PREFIX}{name.upper()}"
        shown = HIDDEN if name in SECRETS and value else str(value)
        origin = "environment" if variable in os.environ else "default"
        found.append(InForce(variable, shown, origin, field.description or "", value != field.default))
    return sorted(found, key=lambda each: (not each.changed, each.name))
