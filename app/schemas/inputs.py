"""Images to begin with, as they are sent and answered."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask.fields import UploadFile
from pydantic import Field

from app.links import link
from app.schemas.base import In, Out


class InputIn(In):
    """A form with a file."""

    file: UploadFile = Field(description="PNG, JPEG or WebP, of one frame.")


class InputOut(Out):
    """An image that jobs can begin with."""

    id: UUID = Field(description="For `image` or `mask` of a submission.")
    width: int
    height: int
    bytes: int = Field(description="Of the file that is kept, a PNG.")
    sha256: str
    links: dict[str, str]

    @classmethod
    def of(cls, row: Any) -> InputOut:
        """As the row has it."""
        own = {name: getattr(row, name) for name in ("id", "width", "height", "bytes", "sha256")}
        return cls(**own, links={"self": link(f"/v1/inputs/{row.id}")})
