"""What PostgreSQL keeps of images that requests begin with, and of masks.

::

    input_image 1─n request (`source_id`, `mask_id`, `second_id`)

The same file of a tenant is kept once. One that no request names goes a day after it was last used.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import Index, String, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from core.states import Base
from core.tenant_tables import tenant_column


class InputImage(Base):
    """A PNG file of the image store, in grey, colour or colour with transparency."""

    __tablename__ = "input_image"
    __table_args__ = (UniqueConstraint("tenant", "sha256"), Index("ix_input_image_used", "used_at"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    tenant: Mapped[str] = tenant_column()
    key: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int]
    width: Mapped[int]
    height: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    used_at: Mapped[datetime] = mapped_column(server_default=func.now())  # when a submission last named it
