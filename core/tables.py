"""What PostgreSQL keeps. PostgreSQL is the truth; everything else can be lost and rebuilt from here.

::

    job 1─n request 1─n attempt 1─1 image 1─n score
    plan 1─n assignment n─1 worker     profile     predictor     cached_latent 1─1 latent_use     latent_total

The states of a request and every move between them are drawn in `core.requests`. All times are timezone-aware UTC.
Latency counts from `accepted_at` to `stored_at`.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import BigInteger, ForeignKey, Index, SmallInteger, String, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.request_indexes import request_indexes
from core.states import OPEN_STATES as OPEN_STATES
from core.states import Base as Base
from core.states import ServiceClass as ServiceClass
from core.states import State as State
from core.states import column_of

EMBEDDING_WIDTH = 384  # MiniLM sentence embedding


class Job(Base):
    """Requests submitted together: a form post, a CSV, a batch."""

    __tablename__ = "job"
    __table_args__ = (Index("ix_job_abandoned", "abandoned_at", postgresql_where="abandoned_at is not null"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    family: Mapped[str]
    source: Mapped[str] = mapped_column(String(16))  # web, api, csv, cli, openai, a1111, replay
    client: Mapped[str | None]  # who sent it; none: Argus itself, or before version 0.4
    title: Mapped[str | None]
    service_class: Mapped[ServiceClass] = mapped_column(column_of(ServiceClass), default=ServiceClass.INTERACTIVE)
    size: Mapped[int]  # number of requests
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    published_at: Mapped[datetime | None]  # Route(job) handed to the broker
    cancelled_at: Mapped[datetime | None]
    abandoned_at: Mapped[datetime | None]  # its client hung up and has not come back

    requests: Mapped[list[Request]] = relationship(
        back_populates="job", order_by="Request.position", cascade="all, delete-orphan", passive_deletes=True
    )


class Request(Base):
    """One prompt, one seed, one image: the unit of routing, billing and recording."""

    __tablename__ = "request"
    __table_args__ = (UniqueConstraint("job_id", "position"), *request_indexes())

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"))
    position: Mapped[int]  # place in the job, from 0

    family: Mapped[str]
    prompt: Mapped[str]
    negative_prompt: Mapped[str] = mapped_column(default="")
    prompt_asked: Mapped[str | None]  # as it was written, where choices in it made it the one above
    negative_prompt_asked: Mapped[str | None]
    truncated_tokens: Mapped[int | None]  # of the prompt that the encoder does not read; none: not known yet
    negative_truncated_tokens: Mapped[int | None]
    custom_id: Mapped[str | None]  # the client's own
    seed: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int]
    height: Mapped[int]
    steps: Mapped[int]
    guidance: Mapped[float]
    level_asked: Mapped[str] = mapped_column(String(64), default="auto")  # auto or a level's id
    min_quality: Mapped[float | None]  # floor of relative quality, 0..1
    deadline_at: Mapped[datetime]
    service_class: Mapped[ServiceClass] = mapped_column(column_of(ServiceClass), default=ServiceClass.INTERACTIVE)
    previews: Mapped[int] = mapped_column(SmallInteger, default=0, server_default=text("0"))  # wanted on the way

    state: Mapped[State] = mapped_column(column_of(State), default=State.ACCEPTED)
    level: Mapped[str | None] = mapped_column(String(64))  # chosen; what was used once done
    epoch: Mapped[int | None]  # plan that chose the level
    predicted_quality: Mapped[float | None]
    qualities: Mapped[dict[str, Any] | None]  # predicted relative quality by level, for re-alignment and late binding
    worker: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(default=0)
    deadline_unreachable: Mapped[bool] = mapped_column(default=False)  # set aside: served when there is room
    urgent: Mapped[bool] = mapped_column(default=False, server_default=text("false"))  # batch work out of slack
    error_code: Mapped[str | None] = mapped_column(String(64))
    error: Mapped[str | None]
    note: Mapped[str | None]  # why this level, for people

    accepted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    routed_at: Mapped[datetime | None]
    published_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    denoised_at: Mapped[datetime | None]
    stored_at: Mapped[datetime | None]
    scored_at: Mapped[datetime | None]
    score: Mapped[float | None]  # the newest image's newest; none before version 0.3, where `score` has it

    job: Mapped[Job] = relationship(back_populates="requests")
    tries: Mapped[list[Attempt]] = relationship(
        back_populates="request",
        order_by="Attempt.number",
        cascade="all, delete-orphan",
        passive_deletes=True,
    )
    images: Mapped[list[Image]] = relationship(
        back_populates="request",
        order_by="Image.created_at",
        cascade="all, delete-orphan",
        passive_deletes=True,
    )


class Attempt(Base):
    """One try of a worker at a request."""

    __tablename__ = "attempt"
    __table_args__ = (
        UniqueConstraint("request_id", "number"),
        Index("ix_attempt_open", "worker", postgresql_where="outcome is null"),
        Index("ix_attempt_ended", "ended_at"),
        Index("ix_attempt_worker_ended", "worker", "ended_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    request_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("request.id", ondelete="CASCADE"))
    number: Mapped[int]  # from 1
    worker: Mapped[str]
    boot: Mapped[uuid.UUID]  # which run of that worker
    level: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(64))
    alone: Mapped[bool] = mapped_column(default=False, server_default=text("false"))  # had the device to itself
    outcome: Mapped[str | None] = mapped_column(String(16))  # as in `core.attempts`; none while running
    reason: Mapped[str | None]  # of a failure or a change of level
    batch_mean: Mapped[float | None]  # rows that shared its forwards
    batch_max: Mapped[int | None]
    steps_run: Mapped[int | None]
    steps_skipped: Mapped[int | None]
    cache_similarity: Mapped[float | None]
    encode_s: Mapped[float | None]
    wait_s: Mapped[float | None]  # encoded, waiting for the next step
    denoise_s: Mapped[float | None]
    decode_s: Mapped[float | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]

    request: Mapped[Request] = relationship(back_populates="tries")


class Image(Base):
    """A stored image; the file lies in the image store under `key`."""

    __tablename__ = "image"
    __table_args__ = (
        Index("ix_image_level_created", "level", "created_at"),
        Index("ix_image_missing", "missing_at", postgresql_where="missing_at is not null"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    request_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("request.id", ondelete="CASCADE"), index=True)
    attempt_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("attempt.id", ondelete="CASCADE"), index=True)
    key: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    level: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(64))
    family_version: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    missing_at: Mapped[datetime | None]  # since when its file is known to be gone or damaged
    redraw_id: Mapped[uuid.UUID | None]  # the request that draws it anew

    request: Mapped[Request] = relationship(back_populates="images")
    scores: Mapped[list[Score]] = relationship(
        back_populates="image", cascade="all, delete-orphan", passive_deletes=True
    )


class Score(Base):
    """CLIPScore of an image against its prompt, by one scorer."""

    __tablename__ = "score"
    __table_args__ = (UniqueConstraint("image_id", "scorer"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    image_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"))
    scorer: Mapped[str]  # kind and version
    value: Mapped[float]  # 2.5 · max(cos, 0)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    image: Mapped[Image] = relationship(back_populates="scores")


class Plan(Base):
    """An epoch: what was seen, what was decided and why. Failed ticks are rows too."""

    __tablename__ = "plan"
    __table_args__ = (Index("ix_plan_family_epoch", "family", text("epoch DESC")),)

    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    family: Mapped[str] = mapped_column(server_default="")  # empty: by a scheduler of the version before
    policy: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(32))  # the solver's word, or failed
    in_force: Mapped[bool] = mapped_column(default=False, index=True)
    observed: Mapped[dict[str, Any]]  # demand, backlog, workers, forecast
    decided: Mapped[dict[str, Any]]  # workers by model, load by level, prices
    reason: Mapped[str]
    seconds: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


ASSIGNMENT_FORMAT = 1  # raised when a worker of the version before would misread the row


class Assignment(Base):
    """Which models a worker was told to hold, and whether it does. A worker follows the newest that it can read."""

    __tablename__ = "assignment"
    __table_args__ = (Index("ix_assignment_worker_id", "worker", text("id DESC")),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    epoch: Mapped[int] = mapped_column(ForeignKey("plan.epoch", ondelete="CASCADE"))
    worker: Mapped[str]
    models: Mapped[list[str]]
    queues: Mapped[list[str]]
    reason: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    applied_at: Mapped[datetime | None]  # the worker's own word
    verified_at: Mapped[datetime | None]  # seen in active_queues
    format: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))  # see ASSIGNMENT_FORMAT


class Worker(Base):
    """A worker process, by its Celery name; the row outlives the process."""

    __tablename__ = "worker"

    name: Mapped[str] = mapped_column(primary_key=True)
    boot: Mapped[uuid.UUID]  # new at every start
    device: Mapped[str]  # cuda:0, cpu:0
    device_type: Mapped[str]  # as in profiles
    family: Mapped[str]
    state: Mapped[str] = mapped_column(String(16))  # starting, ready, stopped
    models: Mapped[list[str]]  # held
    queues: Mapped[list[str]]  # consumed
    stats: Mapped[dict[str, Any]]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Profile(Base):
    """A measured profile, as the file had it when it came into force."""

    __tablename__ = "profile"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    family: Mapped[str]
    device: Mapped[str]
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    content: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Predictor(Base):
    """A quality predictor with the figures it was accepted on; the newest in force is the one that routes."""

    __tablename__ = "predictor"

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    family: Mapped[str]
    family_version: Mapped[str]
    in_force: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[str]  # first, drift
    figures: Mapped[dict[str, Any]]
    content: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


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
