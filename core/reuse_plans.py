"""What calibration found for a `cq` level: the steps at which the denoiser's deep part runs, and what corrects others.

A plan is one small JSON file, made by `argus calibrate cachequant` and named by the level. It says what it is of: a
plan of other weights, another sampler, size or number of steps corrects something else, so it is not used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.checked_files import read_checked

Bits = Literal["none", "w8a8", "w8a16"]
#: The `quantization` that a model of a family file has for these bits of weights (w) and activations (a).
QUANTIZATION = {"none": None, "w8a8": "w8a8", "w8a16": "int8"}
Table = tuple[tuple[float, ...], ...]  # [T, C]: a row a step, a number a channel


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PlannedFor(_Frozen):
    """What a plan is of. `weights` is the SHA-256 of the model's file, where a list of checksums has one."""

    family: str
    family_version: str
    model: str
    weights: str | None
    scheduler: str
    steps: int = Field(gt=0)
    width: int = Field(gt=0)
    height: int = Field(gt=0)


class Correction(_Frozen):
    """a·x + b by step and channel."""

    scale: Table
    shift: Table


class ReusePlan(_Frozen):
    """The schedule of a level's deep part and its corrections.

    `starts` are the steps at which it runs; `times` the model's time at every step, which the sampler must have too.
    `feature` corrects the deep feature of the last start at each step [T, C], `output` what the denoiser answers, where
    its weights are quantised (`bits`).
    """

    version: Literal[1] = 1
    of: PlannedFor
    interval: int = Field(gt=0)
    bits: Bits
    made: str
    starts: tuple[int, ...] = Field(min_length=1)
    times: tuple[float, ...]
    feature: Correction
    output: Correction | None = None

    @model_validator(mode="after")
    def _tables_have_a_row_a_step(self) -> ReusePlan:
        rising = self.starts[0] == 0 and all(a < b for a, b in zip(self.starts, self.starts[1:], strict=False))
        if not rising or self.starts[-1] >= self.of.steps:
            raise ValueError(f"starts must rise from 0 and stay below {self.of.steps}")
        corrections = [self.feature, *([self.output] if self.output else [])]
        tables = [table for found in corrections for table in (found.scale, found.shift)]
        if any(len(table) != self.of.steps for table in (self.times, *tables)):
            raise ValueError(f"times and corrections must have {self.of.steps} rows, one a step")
        if any(len({len(row) for row in table}) != 1 for table in tables):
            raise ValueError("corrections must have as many channels at every step")
        return self

    def computes(self, step: int) -> bool:
        """Whether the deep part runs at this step."""
        return step in self.starts


def read_plan(path: str | Path) -> ReusePlan:
    """The plan in a file; raises `BadCalibration` where there is none, or not the one that was written."""
    return read_checked(path, ReusePlan)
