"""Stored images as they are answered."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.rendering import QUALITY, SIDES, Format, Rendering
from app.schemas.base import AnyWhole, Out


class ImageOut(Out):
    """A stored image."""

    id: UUID
    width: int
    height: int
    bytes: int
    sha256: str
    level: str
    model: str
    family_version: str
    created_at: datetime
    score: float | None
    scorer: str | None
    fidelity: dict[str, float] = Field(
        default_factory=dict,
        description="How it keeps to images that it began with: `psnr` (dB), `ssim` and `distance` from the one; of "
        "a restoration its `misfit`; of a fusion `entropy` (bits), `ssim`, `vif` and `scd`, sums over both.",
    )
    link: str


class SizedIn(BaseModel):
    """The size in which an image is wanted; parameters of other names mean nothing."""

    model_config = ConfigDict(extra="ignore")

    width: AnyWhole | None = Field(
        default=None, ge=SIDES[0], le=SIDES[1], description="Pixels. Without `height`, that follows."
    )
    height: AnyWhole | None = Field(
        default=None,
        ge=SIDES[0],
        le=SIDES[1],
        description="Pixels. With `width`: the image is resized to cover both, and cut around its centre.",
    )
    quality: AnyWhole = Field(default=QUALITY, ge=0, le=100, description="Of JPEG and WebP.")

    def rendering(self, format: Format) -> Rendering:
        """What to make."""
        return Rendering(self.width, self.height, format, self.quality)


class RenderIn(SizedIn):
    """How an image is wanted."""

    format: Format = "png"
