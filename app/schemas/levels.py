"""The family served and its levels as they are answered."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from app.schemas.base import Out


class MeasuredOut(Out):
    """What a level costs on a type of device, as measured."""

    requests_per_minute: float
    latency_s: float
    quality: float


class LevelOut(Out):
    """A level of the family."""

    id: str
    strategy: str
    model: str
    queue: str
    steps: int = Field(description="Sampler steps of a request with the family's default step count.")
    steps_skipped: int
    reference: bool = Field(description="The level whose quality is 1.")
    by_name: bool = Field(False, description="Drawn where a request names it: `auto` does not choose it.")
    measured: dict[str, MeasuredOut] = Field(description="By type of device.")


class FamilyLoraOut(Out):
    """A LoRA that requests may name."""

    name: str
    weight: float = Field(description="Where a request gives none.")
    words: list[str] = Field(description="That it was trained to answer to; prompts have them where their writer did.")
    levels: list[str] = Field(description="That can draw with it.")


class LevelsOut(Out):
    """The family served: what may be asked, and its levels."""

    family: str
    title: str
    version: str
    defaults: dict[str, float]
    limits: dict[str, Any]
    levels: list[LevelOut]
    loras: list[FamilyLoraOut] = []
    parallel: list[str] = Field([], description="Modes that run the reference level's model, beside `auto` and `off`.")
