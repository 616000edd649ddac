"""What PostgreSQL keeps of cached latents: the vector index, and what each has saved (`core.tables` has them too)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import BigInteger, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from core.states import Base

EMBEDDING_WIDTH = 384  # MiniLM sentence embedding


class CachedLatent(Base):
    """An intermediate latent that a similar prompt may start from (NIRVANA, approximate caching)."""

    __tablename__ = "cached_latent"
    __table_args__ = (
        Index(
            "ix_cached_latent_embedding",
            "embedding",
            postgresql_using="hnsw",
            postgresql_ops={"embedding": "halfvec_cosine_ops"},
        ),
        Index("ix_cached_latent_kind", "family", "model", "version", "width", "height", "steps", "scheduler"),
        Index("ix_cached_latent_key", "key"),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    family: Mapped[str]
    model: Mapped[str]
    version: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    steps: Mapped[int]
    scheduler: Mapped[str]
    k: Mapped[int]  # step index the latent was taken at
    embedding: Mapped[Any] = mapped_column(HALFVEC(EMBEDDING_WIDTH))
    key: Mapped[str]
    bytes: Mapped[int]
    uses: Mapped[int] = mapped_column(default=0)  # by workers of the version before
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class LatentUse(Base):
    """What a cached latent has saved; apart, because a change to `cached_latent` is one to its vector index."""

    __tablename__ = "latent_use"
    __table_args__ = (Index("ix_latent_use_coldest", "steps_saved", "latent_id"),)

    latent_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    steps_saved: Mapped[int] = mapped_column(BigInteger, server_default="0")  # uses × k


class LatentTotal(Base):
    """The one row that says how many cached latents there are. Triggers keep it and the rows of `latent_use`."""

    __tablename__ = "latent_total"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    entries: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
