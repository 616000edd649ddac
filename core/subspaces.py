"""What calibration found for a `sub` level: the subspace of a family's latents that latents of half the size are.

Made by `argus calibrate subspace` and named by the level. It is of one autoencoder and size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.checked_files import read_checked

Row = tuple[float, ...]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FoundFor(_Frozen):
    """What a subspace is of. `autoencoder` is the SHA-256 of its file, where a list of checksums has one."""

    family: str
    family_version: str
    autoencoder: str | None
    width: int = Field(gt=0)
    height: int = Field(gt=0)


class SubspaceFile(_Frozen):
    """A small latent is about scale·Uᵀ(x − mean) + small_mean, of each 2×2 of a latent of C channels.

    `basis` U [4C, C] has orthonormal columns; its rows, like `mean` [4C], are channel by channel the four cells.
    """

    version: Literal[1] = 1
    of: FoundFor
    made: str
    scale: float = Field(gt=0)
    basis: tuple[Row, ...]
    mean: Row
    small_mean: Row

    @model_validator(mode="after")
    def _shapes_fit(self) -> SubspaceFile:
        channels = len(self.small_mean)
        if len(self.basis) != 4 * channels or len(self.mean) != 4 * channels:
            raise ValueError(f"basis and mean must have {4 * channels} rows, four a channel")
        if any(len(row) != channels for row in self.basis):
            raise ValueError(f"each row of basis must have {channels} numbers, one a channel")
        return self


def read_subspace(path: str | Path) -> SubspaceFile:
    """The subspace in a file; raises `BadCalibration` where there is none, or not the one that was written."""
    return read_checked(path, SubspaceFile)
