"""What somebody wants to know of the last hour had it been otherwise, and what the simulator found."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from core.states import Base


class WhatIf(Base):
    """A question of the dashboard; kept for a day. One that has ended has `found` or `error`."""

    __tablename__ = "what_if"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    policy: Mapped[str]
    workers: Mapped[dict[str, Any]]  # how many, by device type
    asked_at: Mapped[datetime] = mapped_column(server_default=func.now())
    began_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    found: Mapped[dict[str, Any] | None]  # as `scheduler.simulate.what_if.Found`
    error: Mapped[str | None]  # a sentence
