"""Profiles and quality tables: what a level costs on a device and what it keeps, measured, kept as data.

A profile is one JSON file a device (`profiles/<family>/<device>.json`), a quality table one CSV a family
(`profiles/<family>/quality.csv`). Published profiles (`../shared/profiles`) carry only throughput, latency and mean
quality; our own add the batch curve and the times around the loop. Extra keys are kept out, not refused: a profile may
say more than we read.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from core.errors import BadProfile
from core.levels import Strategies
from core.refusals import first_place, first_refusal
from core.step_curve import StepCurve

MEASURED = ConfigDict(frozen=True, allow_inf_nan=False)
SAME_WEIGHTS = ("exact", "ac")
FULL_RUNS = ("exact", "sm")  # strategies that run every step of their model


class BatchPoint(BaseModel):
    """Seconds that one denoising step takes when `size` rows share it."""

    model_config = MEASURED

    size: int = Field(ge=1)
    step_s: float = Field(gt=0)


class LevelProfile(Strategies, BaseModel):
    """What one level costs on one device. Times in seconds, `quality` relative to `exact`.

    `requests_per_minute` is what one worker carries that does nothing else (at its best batch), `latency_s` one request
    alone from admission to stored image. A profile fills in `model` where it is left out (`Profile`).
    """

    model_config = MEASURED

    id: str = Field(min_length=1)
    strategy: str = "exact"
    requests_per_minute: float = Field(gt=0)
    latency_s: float = Field(gt=0)
    quality: float = Field(ge=0, default=1.0)
    model: str | None = None
    steps: int | None = Field(default=None, ge=1)
    skipped_steps: int = Field(default=0, ge=0)
    batch: tuple[BatchPoint, ...] = ()
    encode_s: float = Field(default=0.0, ge=0)
    decode_s: float = Field(default=0.0, ge=0)
    fetch_s: float = Field(default=0.0, ge=0)
    load_s: float = Field(default=0.0, ge=0)
    memory_mb: float = Field(default=0.0, ge=0)
    lora_ratio: float = Field(default=1.0, gt=0)  # a step of one row with a LoRA over one without
    p90_ratio: float = Field(default=1.0, ge=1)  # learned live: the ninth decile of times over their median

    @model_validator(mode="after")
    def _batch_sizes_rise_from_one(self) -> LevelProfile:
        sizes = [p.size for p in self.batch]
        if sizes and (sizes[0] != 1 or any(b <= a for a, b in pairwise(sizes))):
            raise ValueError("batch sizes must rise and start at 1")
        return self

    @cached_property
    def rows(self) -> int:
        """Rows of this level's model that a worker runs at once."""
        return self.curve.worthwhile

    @property
    def latency_full_s(self) -> float:
        """Seconds of one request in a full batch (`rows`), at which the worker carries `requests_per_minute`."""
        return max(self.latency_s, self.rows * 60 / self.requests_per_minute)

    def latency_at(self, rows: int) -> float:
        """Seconds within which nine in ten requests end while so many run."""
        return self.p90_ratio * self.expected_s(rows)

    def expected_s(self, rows: int) -> float:
        """Seconds of one request while so many run: a line from alone to the full batch, then as throughput allows."""
        line = self.latency_s + (self.latency_full_s - self.latency_s) * (rows - 1) / max(1, self.rows - 1)
        return max(line, rows * 60 / self.requests_per_minute)

    @property
    def holds(self) -> str:
        """The model a worker must hold to serve this level."""
        return self.model or self.id

    @cached_property
    def curve(self) -> StepCurve:
        """The step curve; without measurements a worker runs one row at a time (constant throughput)."""
        return StepCurve.of({p.size: p.step_s for p in self.batch} or {1: 1.0})


class Profile(BaseModel):
    """One device's measurements of one family's levels.

    Where a level names no model (published profiles), `exact` and the levels that only start later than it run on the
    same weights, called by the family's name; any other level is a model of its own.

    `by_name` are levels that a request has to name: what they cost is told to people, nothing plans with it.
    """

    model_config = MEASURED

    family: str
    device: str
    model: str = ""
    measured: str = ""
    memory_mb: float = Field(default=0.0, ge=0)  # for models on this device; 0: not known
    levels: tuple[LevelProfile, ...] = Field(min_length=1)
    by_name: tuple[LevelProfile, ...] = ()

    @model_validator(mode="after")
    def _each_level_once(self) -> Profile:
        ids = [level.id for level in self.all_levels]
        twice = {i for i in ids if ids.count(i) > 1}
        if twice:
            raise ValueError(f"level {sorted(twice)[0]!r} stands twice")
        return self

    @field_validator("levels", "by_name")
    @classmethod
    def _each_level_names_its_model(
        cls, levels: tuple[LevelProfile, ...], info: ValidationInfo
    ) -> tuple[LevelProfile, ...]:
        family = info.data.get("family", "")
        named = {level.id: level.model or (family if level.strategy in SAME_WEIGHTS else level.id) for level in levels}
        return tuple(level.model_copy(update={"model": named[level.id]}) for level in levels)

    def level(self, level_id: str) -> LevelProfile:
        """The level's measurements; `BadProfile` names those there are."""
        for level in self.levels:
            if level.id == level_id:
                return level
        names = ", ".join(level.id for level in self.levels)
        raise BadProfile(f"profile of {self.device} has no level {level_id!r}; it has {names}", field=level_id)

    def ladder(self, level_id: str) -> tuple[str, ...]:
        """What a level that starts from a cached latent is, from no latent near enough to one for all of its skip.

        First its model's run in full, last itself. Just itself for any other level, and where nothing runs in full.
        """
        mine = self.level(level_id)
        full = [lv for lv in self.levels if lv.holds == mine.holds and lv.strategy in FULL_RUNS]
        if mine.strategy != "ac" or not full:
            return (level_id,)
        rungs = [lv for lv in self.levels if lv.holds == mine.holds and lv.strategy == "ac"]
        rungs = [lv for lv in rungs if lv is not mine and self.skipped_share(lv.id) < self.skipped_share(level_id)]
        return (full[0].id, *(lv.id for lv in sorted(rungs, key=lambda lv: self.skipped_share(lv.id))), level_id)

    def skipped_share(self, level_id: str) -> float:
        """Share of the steps that a level leaves to a cached latent; without step counts, as its latency implies."""
        level = self.level(level_id)
        if level.strategy != "ac":
            return 0.0
        if level.steps:
            return level.skipped_steps / level.steps
        full = [lv.latency_s for lv in self.levels if lv.holds == level.holds and lv.strategy in FULL_RUNS]
        return round(1 - level.latency_s / full[0], 2) if full else 0.0

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(level.id for level in self.levels)

    @property
    def all_levels(self) -> tuple[LevelProfile, ...]:
        """Those to plan with, then those that a request has to name."""
        return (*self.levels, *self.by_name)

    def known_to(self, planned: Collection[str], named: Collection[str]) -> Profile:
        """The levels that a family has, each where the family has it: planned with, or by name."""
        levels = tuple(level for level in self.all_levels if level.id in planned)
        return self.model_copy(
            update={"levels": levels, "by_name": tuple(level for level in self.all_levels if level.id in named)}
        )

    @property
    def reference(self) -> LevelProfile:
        """The exact level: the one with the highest quality, the first of equals."""
        return max(self.levels, key=lambda level: level.quality)


def read_profile(path: str | Path) -> Profile:
    """The profile in a JSON file. Raises `BadProfile` with the field (`levels.2.latency_s`) and what is wrong there."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as e:
        raise BadProfile(f"profile {path}: {e.strerror or e}", field=str(path)) from e
    except ValueError as e:
        raise BadProfile(f"profile {path} is not JSON: {e}", field=str(path)) from e
    return parse_profile(data, str(path))


def parse_profile(data: object, source: str = "profile") -> Profile:
    """The profile in parsed JSON. Raises `BadProfile`; `source` is named in the message."""
    try:
        return Profile.model_validate(data)
    except ValidationError as e:
        field = first_place(e, "levels")
        raise BadProfile(f"{source}: {field}: {first_refusal(e)}", field=field) from e


@dataclass(frozen=True)
class QualityTable:
    """Relative quality by prompt and level: `values[i, j]` is prompt i at `levels[j]` (N×L, 1 = as good as exact)."""

    levels: tuple[str, ...]
    prompts: tuple[str, ...]
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.prompts)

    def column(self, level: str) -> np.ndarray:
        """Quality of all prompts at a level (N). `BadProfile` when the table lacks it."""
        if level not in self.levels:
            raise BadProfile(f"no level {level!r} in the quality table; it has {', '.join(self.levels)}", field=level)
        return self.values[:, self.levels.index(level)]

    def select(self, levels: tuple[str, ...]) -> QualityTable:
        """The same prompts with just these levels, in this order."""
        return QualityTable(levels, self.prompts, np.column_stack([self.column(level) for level in levels]))

    @property
    def means(self) -> dict[str, float]:
        return dict(zip(self.levels, (float(v) for v in self.values.mean(axis=0)), strict=True))


def read_quality(path: str | Path) -> QualityTable:
    """The quality table in a CSV `prompt,<level>,…`. Raises `BadProfile` with line and column of what is wrong."""
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError) as e:
        raise BadProfile(f"quality table {path}: {e}", field=str(path)) from e
    if not rows or rows[0][:1] != ["prompt"] or len(rows[0]) < 2:
        raise BadProfile(f"{path}: line 1: the header must be prompt,<level>,<level>…", field="prompt")
    levels = tuple(name.strip() for name in rows[0][1:])
    if len(set(levels)) < len(levels):
        raise BadProfile(f"{path}: line 1: a level stands twice", field="prompt")
    body = [(n, row) for n, row in enumerate(rows[1:], start=2) if row]
    if not body:
        raise BadProfile(f"{path}: no prompts", field="prompt")
    values = np.array([_cells(row, n, levels, str(path)) for n, row in body])
    return QualityTable(levels, tuple(row[0] for _, row in body), values)


def _cells(row: list[str], line: int, levels: tuple[str, ...], path: str) -> list[float]:
    if len(row) != len(levels) + 1:
        raise BadProfile(f"{path}: line {line}: {len(row)} cells, the header has {len(levels) + 1}", field=levels[-1])
    cells = []
    for level, text in zip(levels, row[1:], strict=True):
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not (np.isfinite(value) and value >= 0):
            raise BadProfile(f"{path}: line {line}: {level}: {text!r} is not a quality of 0 or more", field=level)
        cells.append(value)
    return cells
