"""A level: one strategy with its parameter, on one model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.feature_caches import CACHE_OPTIONS, FeatureCache
from core.settings import ROOT

Strategy = Literal["exact", "ac", "sm", "fc", "fs", "cq"]


class Level(BaseModel):
    """One strategy with its parameter, on one model.

    `steps` and `skip` are given at the family's default step count and scale with a request's own count,
    unless `fixed_steps` (a distilled model that always takes so many).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    strategy: Strategy
    model: str
    steps: int | None = Field(default=None, gt=0)
    fixed_steps: bool = False
    skip: int = Field(default=0, ge=0)
    guidance: float | None = Field(default=None, ge=0)
    cache: FeatureCache | None = None  # of `fc` levels
    options: dict[str, float | int | str | bool] = {}
    calibration: str | None = None  # of `cq` levels: the file that `argus calibrate cachequant` wrote
    by_name: bool = False  # drawn where a request names it; nothing plans with it

    @property
    def reuses_features(self) -> bool:
        """Whether its steps take up what earlier ones computed; that is of the model alone, without LoRAs."""
        return self.strategy in ("fc", "cq")

    @property
    def calibration_location(self) -> Path:
        """The file, where the path names one in the repository; else the path as written."""
        return ROOT / str(self.calibration)

    @model_validator(mode="after")
    def _only_cq_has_a_calibration(self) -> Level:
        if (self.strategy == "cq") != (self.calibration is not None):
            raise ValueError(f"level {self.id!r}: strategy cq names its calibration, others do not")
        return self

    @model_validator(mode="after")
    def _a_feature_cache_is_named_and_has_its_own_options(self) -> Level:
        if (self.strategy == "fc") != (self.cache is not None):
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

    def forwards(self, steps: int, default_steps: int) -> int:
        """Steps that run, for a request that asks for `steps`."""
        total, skipped = self.schedule(steps, default_steps)
        return total - skipped
