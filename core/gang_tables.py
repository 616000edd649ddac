"""What PostgreSQL keeps of gangs: workers of one host that draw one image together (`workers.gangs`).

::

    attempt 1─1 gang

    gathering: `members` is not known     drawing: it is     over: the attempt has ended

A gang is its leader's attempt at a request, and dissolves with it: no row has to be tidied up after a leader that died.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from core.states import Base

NONE = text("'{}'")


class Gang(Base):
    """Who was asked, who said what, who draws, and where they meet."""

    __tablename__ = "gang"

    attempt_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("attempt.id", ondelete="CASCADE"), primary_key=True)
    leader: Mapped[str]  # worker
    mode: Mapped[str] = mapped_column(String(16))
    program: Mapped[str]  # version of Argus and of the family: all have to be of one
    asked: Mapped[list[str]]  # workers
    willing: Mapped[list[str]] = mapped_column(server_default=NONE)  # in the order of their answers
    unwilling: Mapped[list[str]] = mapped_column(server_default=NONE)
    members: Mapped[list[str] | None]  # ranks 1, 2, …; empty where it came to nothing
    address: Mapped[str | None]  # host:port
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
