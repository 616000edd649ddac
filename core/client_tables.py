"""What PostgreSQL keeps of clients and for them, beside what they asked for (`core.tables`)."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, SmallInteger, String, func
from sqlalchemy.orm import Mapped, mapped_column

from core.tables import Base


class IdempotencyKey(Base):
    """A client's word for a submission, and the job it made; trimmed after a day. The job may be gone."""

    __tablename__ = "idempotency_key"

    client: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))  # of what was submitted
    job_id: Mapped[uuid.UUID]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class ClientAction(Base):
    """What a client created, cancelled or removed. The trace stays when the thing is gone."""

    __tablename__ = "client_action"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    client: Mapped[str]
    action: Mapped[str] = mapped_column(String(16))  # created, cancelled, removed
    job_id: Mapped[uuid.UUID] = mapped_column(index=True)
    details: Mapped[dict[str, Any]]  # counts and ids; never prompts


class ClientCheckpoint(Base):
    """The level that a client of the web UI's API chose for its next calls; trimmed when it was long ago."""

    __tablename__ = "client_checkpoint"

    client: Mapped[str] = mapped_column(primary_key=True)
    level: Mapped[str] = mapped_column(String(64))  # or auto
    chosen_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class Progress(Base):
    """How far a request is that runs, as its worker said last. Unlogged; written and read by `core.progress`."""

    __tablename__ = "progress"
    __table_args__ = {"prefixes": ["UNLOGGED"]}

    request_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("request.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int]  # taken, of …
    steps: Mapped[int]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Preview(Base):
    """What a request looked like on its way, JPEG. Unlogged; written and read by `core.progress`."""

    __tablename__ = "preview"
    __table_args__ = {"prefixes": ["UNLOGGED"]}

    request_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("request.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True)  # from 0
    image: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
