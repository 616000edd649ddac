"""A level: one strategy with its parameter, on one model; or several that are made one, as their names say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from core.feature_caches import CACHE_OPTIONS, FeatureCache
from core.settings import ROOT

STRATEGIES = ("exact", "ac", "sm", "fc", "fs", "cq", "sub")
UNEVEN = frozenset({"cq", "sub"})  # strategies whose steps are of two kinds, whatever the prompt
AND = "+"  # joins the ids of the levels that a level is made of, and their strategies

#: Strategies that cannot be in one level, and why.
APART = {
    frozenset({"ac", "fs"}): "latents are kept of runs of all steps",
    frozenset({"cq", "fs"}): "a calibration is of all steps",
    frozenset({"cq", "sub"}): "a calibration is of one size",
    frozenset({"fc", "sub"}): "what a feature cache keeps is of one size",
    frozenset({"fc", "cq"}): "both say what a step computes",
}


def composed(levels: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Entries of a family file by id; one that is called after others (`ac-3+cq-3`) has what they have, and its own.

    Raises:
        ValueError: it cannot be made of them.
    """
    return {name: _joined(name, entry, levels) if AND in name else entry for name, entry in levels.items()}


def _joined(name: str, own: dict[str, Any], levels: dict[str, dict[str, Any]]) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    parts = name.split(AND)
    for part in parts:
        if part not in levels or AND in part:
            raise ValueError(f"level {name!r}: its part {part!r} is none of the other levels")
        for field, value in levels[part].items():
            if field not in ("id", "strategy", "by_name") and joined.setdefault(field, value) != value:
                raise ValueError(f"level {name!r}: its parts disagree in {field}: {joined[field]!r} and {value!r}")
    strategy = AND.join(str(levels[part].get("strategy")) for part in parts)
    return {**joined, "strategy": strategy, "by_name": any(levels[part].get("by_name") for part in parts), **own}


class Strategies:
    """What a `strategy` is made of, of levels and of their profiles."""

    strategy: str

    @property
    def strategies(self) -> tuple[str, ...]:
        """Its strategies, one of most levels."""
        return tuple(self.strategy.split(AND))

    @property
    def varies(self) -> bool:
        """Whether some of its steps cost less than whole ones of its model, whatever the prompt."""
        return bool(UNEVEN & set(self.strategies))


class Level(Strategies, BaseModel):
    """One strategy with its parameter, on one model; several in one, joined by +, where each has its own parameter.

    `steps`, `skip` and `half_steps` are given at the family's default step count and scale with a request's own count,
    unless `fixed_steps` (a distilled model that always takes so many).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    strategy: str
    model: str
    steps: int | None = Field(default=None, gt=0)
    fixed_steps: bool = False
    skip: int = Field(default=0, ge=0)
    half_steps: int = Field(default=0, ge=0)  # of `sub` levels: the first, at half the width and height
    guidance: float | None = Field(default=None, ge=0)
    cache: FeatureCache | None = None  # of `fc` levels
    options: dict[str, float | int | str | bool] = {}
    calibration: str | None = None  # of `cq` levels, and of `sub` levels if any: the file `argus calibrate` wrote
    by_name: bool = False  # drawn where a request names it; nothing plans with it

    @property
    def looks_up(self) -> bool:
        """Whether it may start from a cached latent."""
        return "ac" in self.strategies

    @property
    def reuses_features(self) -> bool:
        """Whether its steps take up what earlier ones computed; that is of the model alone, without LoRAs."""
        return bool({"fc", "cq"} & set(self.strategies))

    @property
    def calibration_location(self) -> Path:
        """The file, where the path names one in the repository; else the path as written."""
        return ROOT / str(self.calibration)

    @field_validator("strategy")
    @classmethod
    def _is_known_and_fits(cls, strategy: str) -> str:
        parts = strategy.split(AND)
        if unknown := [part for part in parts if part not in STRATEGIES]:
            raise ValueError(f"{unknown[0]!r} is none of {', '.join(STRATEGIES)}")
        for both, why in APART.items():
            if both <= set(parts):
                raise ValueError(f"{' and '.join(sorted(both))} are not for one level: {why}")
        if len(parts) > 1 and ("exact" in parts or len(set(parts)) < len(parts)):
            raise ValueError(f"{strategy} joins what cannot be joined: different strategies can, all but exact")
        return strategy

    @model_validator(mode="after")
    def _what_starts_from_the_cache_and_more_is_drawn_by_name(self) -> Level:
        if self.looks_up and len(self.strategies) > 1 and not self.by_name:
            raise ValueError(f"level {self.id!r} has to be by_name: plans know what ac saves where it stands alone")
        return self

    @model_validator(mode="after")
    def _what_is_calibrated_says_by_what(self) -> Level:
        named = self.calibration is not None
        if ("cq" in self.strategies and not named) or (named and not self.varies):
            raise ValueError(f"level {self.id!r}: strategy cq names its calibration and sub may, others do not")
        return self

    @model_validator(mode="after")
    def _only_sub_begins_small(self) -> Level:
        if ("sub" in self.strategies) != (self.half_steps > 0):
            raise ValueError(f"level {self.id!r}: strategy sub says its half_steps, others do not")
        return self

    @model_validator(mode="after")
    def _a_feature_cache_is_named_and_has_its_own_options(self) -> Level:
        if ("fc" in self.strategies) != (self.cache is not None):
            raise ValueError(
                f"level {self.id!r}: strategy fc names its cache ({', '.join(CACHE_OPTIONS)}), others do not"
            )
        unknown = sorted(set(self.options) - CACHE_OPTIONS[self.cache]) if self.cache else []
        if unknown:
            known = ", ".join(sorted(CACHE_OPTIONS[str(self.cache)]))
            raise ValueError(f"level {self.id!r}: cache {self.cache} has no option {unknown[0]!r}; it has {known}")
        return self

    def schedule(self, steps: int, default_steps: int) -> tuple[int, int]:
        """Steps of the sampler and how many of them are skipped, for a request that asks for `steps`."""
        total = steps
        if self.steps is not None:
            total = self.steps if self.fixed_steps else max(1, round(self.steps * steps / default_steps))
        skipped = round(self.skip * steps / default_steps)
        return total, min(skipped, total - 1)

    def small_steps(self, total: int, default_steps: int) -> int:
        """Steps of a schedule of `total` that run at half the size: the same share of it, and never its last."""
        return min(round(self.half_steps * total / default_steps), total - 1)

    def forwards(self, steps: int, default_steps: int) -> int:
        """Steps that run, for a request that asks for `steps`."""
        total, skipped = self.schedule(steps, default_steps)
        return total - skipped
