"""Stored images as they are answered."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from app.schemas.base import Out


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
    link: str
