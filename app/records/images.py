"""Stored images as answers and pages show them."""

from __future__ import annotations

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.access import owned
from app.links import link
from app.schemas.images import ImageOut
from core.errors import NotFound
from core.tables import Image


def find_image(session: Session, image_id: uuid.UUID) -> Image:
    """The image's row, if the caller may see it; raises `NotFound`."""
    image = session.scalar(owned(select(Image).where(Image.id == image_id)))
    if image is None:
        raise NotFound(f"There is no image {image_id}.", field="id")
    return image


def image_out(image: Image) -> ImageOut:
    """The image with its newest score."""
    newest = max(image.scores, key=lambda score: score.created_at, default=None)
    own = ("id", "width", "height", "bytes", "sha256", "level", "model", "family_version", "created_at")
    return ImageOut(
        **{name: getattr(image, name) for name in own},
        score=newest.value if newest else None,
        scorer=newest.scorer if newest else None,
        fidelity={each.measure: each.value for each in image.fidelity},
        link=link(f"/v1/images/{image.id}"),
    )
