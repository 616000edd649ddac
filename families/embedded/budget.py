"""The recipe's numbers, read from `budgets.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from families.embedded.emoji import catalogue

FILE = Path(__file__).parent / "budgets.toml"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Effort(_Frozen):
    """How long and how fast one stage learns."""

    batch: int
    steps: int
    rate: float


class Upsampler(Effort):
    width: int
    depth: int
    scale: int


class Scorer(Effort):
    width: int


class Denoiser(Effort):
    """`unet` has `channels`, one number a resolution; `dit` has `width` and `layers`.

    A UNet may learn several `sides` (pixels), one a batch, as subspace diffusion needs; none means the budget's.
    """

    kind: Literal["unet", "dit"]
    channels: tuple[int, ...] = ()
    width: int = 0
    layers: int = 0
    sides: tuple[int, ...] = ()


class Turbo(Effort):
    """The few-step member: `student`, taught to land in each of `jumps` where `substeps` guided steps of `teacher` land."""

    teacher: str
    student: str
    jumps: int
    substeps: int


class Budget(_Frozen):
    labels: tuple[str, ...] | Literal["all"]
    kinds: tuple[float, ...]
    pool: int
    device: str
    painters: int = 0  # processes that render scenes; 0 renders in the training process
    pixels: int
    patch: int
    shift: float
    guidance: float
    upsampler: Upsampler
    scorer: Scorer
    denoisers: dict[str, Denoiser]
    turbo: Turbo

    @property
    def names(self) -> tuple[str, ...]:
        """The labels of the things to draw."""
        return tuple(catalogue()) if self.labels == "all" else self.labels


def load_budget(name: str) -> Budget:
    return Budget(**tomllib.loads(FILE.read_text())[name])
