"""What PostgreSQL keeps of files that clients upload, and of batches made of them (OpenAI's Files and Batch).

::

    stored_file 1─n file_part     batch 1─n batch_line     batch n─1 job

A line of a batch makes the requests `first` … `first + images − 1` (positions) of the batch's job, or has an error.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.tables import Base
from core.tenant_tables import tenant_column


class StoredFile(Base):
    """A file by its name; of one that a client uploaded the parts are kept, those of results are made when read."""

    __tablename__ = "stored_file"
    __table_args__ = (
        Index("ix_stored_file_created", "created_at", "id"),
        Index("ix_stored_file_expires", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    client: Mapped[str]
    tenant: Mapped[str] = tenant_column()
    purpose: Mapped[str] = mapped_column(String(16))  # batch, batch_output
    filename: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)
    batch_id: Mapped[uuid.UUID | None]  # whose results it holds
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]  # gone from then on; none: stays until it is deleted


class FilePart(Base):
    """A piece of an uploaded file; all but the last have the same size."""

    __tablename__ = "file_part"

    file_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("stored_file.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)  # from 0
    content: Mapped[bytes]


class Batch(Base):
    """A file of calls, how far it is read, and what became of it."""

    __tablename__ = "batch"
    __table_args__ = (
        Index("ix_batch_created", "created_at", "id"),
        Index(
            "ix_batch_open",
            "created_at",
            postgresql_where=text("status IN ('validating', 'in_progress', 'cancelling')"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    client: Mapped[str]
    tenant: Mapped[str] = tenant_column()
    input_file_id: Mapped[uuid.UUID]
    labels: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSONB(none_as_null=True))
    status: Mapped[str] = mapped_column(String(16))  # as in `app/compat/openai/batch/states.py`
    errors: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))  # of the file, by line
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("job.id", ondelete="SET NULL"))
    total: Mapped[int] = mapped_column(server_default="0")  # lines
    completed: Mapped[int] = mapped_column(server_default="0")  # once it has ended
    failed: Mapped[int] = mapped_column(server_default="0")
    lines_read: Mapped[int] = mapped_column(server_default="0")
    bytes_read: Mapped[int] = mapped_column(BigInteger, server_default="0")
    output_expires_s: Mapped[int | None]  # after they are made; none: its files stay
    output_file_id: Mapped[uuid.UUID | None]
    error_file_id: Mapped[uuid.UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    in_progress_at: Mapped[datetime | None]
    finalizing_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    expired_at: Mapped[datetime | None]
    cancelling_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]


class BatchLine(Base):
    """A line that was read: the requests it made, or what is wrong with it."""

    __tablename__ = "batch_line"

    batch_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("batch.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)  # from 1, without blank lines
    custom_id: Mapped[str]
    body: Mapped[dict[str, Any]]
    first: Mapped[int]
    images: Mapped[int]
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))  # status and body of the answer
