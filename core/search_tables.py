"""What PostgreSQL keeps for finding images by what their prompt means (docs/decisions/0114).

::

    request (stored) ──the router's worker, every few seconds──▶ prompt_embedding,  embedding_mark says how far
    what somebody looks for ──the same worker, when asked──▶ search_text

All of it can be made again from the prompts.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import ColumnElement, Index, String, Uuid, cast, func
from sqlalchemy.orm import Mapped, mapped_column

from core.latent_tables import EMBEDDING_WIDTH
from core.states import Base
from core.tenant_tables import NAME_CHARS


class PromptEmbedding(Base):
    """What a prompt of a tenant means, once however often it is drawn; there is an image of it."""

    __tablename__ = "prompt_embedding"
    __table_args__ = (
        Index(
            "ix_prompt_embedding_nearest",
            "embedding",
            postgresql_using="hnsw",
            postgresql_ops={"embedding": "halfvec_cosine_ops"},
        ),
    )

    tenant: Mapped[str] = mapped_column(String(NAME_CHARS), primary_key=True)
    digest: Mapped[uuid.UUID] = mapped_column(primary_key=True)  # of the prompt, as `digest_of` makes it
    embedding: Mapped[Any] = mapped_column(HALFVEC(EMBEDDING_WIDTH))  # of unit length


class EmbeddingMark(Base):
    """The one row that says up to which `stored_at` prompts have been read."""

    __tablename__ = "embedding_mark"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    stored_at: Mapped[datetime]


class SearchText(Base):
    """What somebody looks for, kept for a day: a page that is loaded again asks no worker."""

    __tablename__ = "search_text"

    digest: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    text: Mapped[str]
    embedding: Mapped[Any | None] = mapped_column(HALFVEC(EMBEDDING_WIDTH))
    asked_at: Mapped[datetime] = mapped_column(server_default=func.now())


def digest_of(prompt: Any) -> ColumnElement[uuid.UUID]:
    """The 16 bytes that stand for a prompt; an index of `request` has them."""
    return cast(func.md5(prompt), Uuid)
