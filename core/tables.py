"""What PostgreSQL keeps. PostgreSQL is the truth; everything else can be lost and rebuilt from here.

::

    tenant 1─n job 1─n request 1─n attempt 1─1 image 1─n score        here; tenants in `core.tenant_tables`
    plan 1─n assignment n─1 worker     profile     predictor           `core.plan_tables`
    cached_latent 1─1 latent_use     latent_total                      `core.latent_tables`

What names no table of its own here is in `core.client_tables`, `core.batch_tables`; `core.all_tables` has every one.

The states of a request and every move between them are drawn in `core.requests`. All times are timezone-aware UTC.
Latency counts from `accepted_at` to `stored_at`.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, SmallInteger, String, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.input_tables import InputImage as InputImage
from core.kinds import stock_kind
from core.latent_tables import EMBEDDING_WIDTH as EMBEDDING_WIDTH
from core.latent_tables import CachedLatent as CachedLatent
from core.latent_tables import LatentTotal as LatentTotal
from core.latent_tables import LatentUse as LatentUse
from core.plan_tables import ASSIGNMENT_FORMAT as ASSIGNMENT_FORMAT
from core.plan_tables import Assignment as Assignment
from core.plan_tables import Plan as Plan
from core.plan_tables import Predictor as Predictor
from core.plan_tables import Profile as Profile
from core.plan_tables import Worker as Worker
from core.request_indexes import request_indexes
from core.states import ACTIVE_STATES as ACTIVE_STATES
from core.states import OPEN_STATES as OPEN_STATES
from core.states import Base as Base
from core.states import ServiceClass as ServiceClass
from core.states import State as State
from core.states import column_of
from core.tenant_tables import tenant_column


class Job(Base):
    """Requests submitted together: a form post, a CSV, a batch."""

    __tablename__ = "job"
    __table_args__ = (
        Index("ix_job_abandoned", "abandoned_at", postgresql_where="abandoned_at is not null"),
        Index("ix_job_tenant_created", "tenant", "created_at"),
        Index("ix_job_untold", "id", postgresql_where="webhook IS NOT NULL AND webhook_told_at IS NULL"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    family: Mapped[str]
    source: Mapped[str] = mapped_column(String(16))  # web, api, csv, cli, openai, a1111, replay
    client: Mapped[str | None]  # who sent it; none: Argus itself, or before version 0.4
    tenant: Mapped[str] = tenant_column()  # whose it is
    title: Mapped[str | None]
    service_class: Mapped[ServiceClass] = mapped_column(column_of(ServiceClass), default=ServiceClass.INTERACTIVE)
    size: Mapped[int]  # number of requests
    priority: Mapped[int] = mapped_column(default=0, server_default=text("0"))  # as the whole was reordered last
    webhook: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))  # whom to tell: url, host, events
    webhook_told_at: Mapped[datetime | None]  # when it was noted that nothing of it is open any more
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
    tenant: Mapped[str] = tenant_column()  # its job's

    family: Mapped[str]
    prompt: Mapped[str]
    negative_prompt: Mapped[str] = mapped_column(default="")
    prompt_asked: Mapped[str | None]  # as it was written, where choices in it made it the one above
    negative_prompt_asked: Mapped[str | None]
    truncated_tokens: Mapped[int | None]  # of the prompt that the encoder does not read; none: not known yet
    negative_truncated_tokens: Mapped[int | None]
    custom_id: Mapped[str | None]  # the client's own
    loras: Mapped[str | None]  # name:weight,name:weight (`core.loras`); none: the model alone
    emphasis: Mapped[str | None]  # weights of words in both texts (`core.emphasis`); none: all weigh the same
    source_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("input_image.id"))  # the image it begins with
    mask_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("input_image.id"))  # what of it is drawn anew
    second_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("input_image.id"))  # what it is fused with
    operator: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))  # what its image went through
    own_kind: Mapped[str | None] = mapped_column(String(16))  # as in `core.kinds`; none: stock, as its images say
    strength: Mapped[float | None]  # the share of the schedule that is run of one with a source
    seed: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int]
    height: Mapped[int]
    steps: Mapped[int]
    guidance: Mapped[float]
    level_asked: Mapped[str] = mapped_column(String(64), default="auto")  # auto or a level's id
    min_quality: Mapped[float | None]  # floor of relative quality, 0..1
    deadline_at: Mapped[datetime]
    start_by: Mapped[datetime | None]  # not begun by then, it is failed
    service_class: Mapped[ServiceClass] = mapped_column(column_of(ServiceClass), default=ServiceClass.INTERACTIVE)
    previews: Mapped[int] = mapped_column(SmallInteger, default=0, server_default=text("0"))  # wanted on the way
    parallel: Mapped[str] = mapped_column(String(16), default="auto", server_default="auto")  # as in `core.parallel`

    state: Mapped[State] = mapped_column(column_of(State), default=State.ACCEPTED)
    level: Mapped[str | None] = mapped_column(String(64))  # chosen; what was used once done
    epoch: Mapped[int | None]  # plan that chose the level
    predicted_quality: Mapped[float | None]
    qualities: Mapped[dict[str, Any] | None]  # predicted relative quality by level, for re-alignment and late binding
    worker: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(default=0)
    attempts_before: Mapped[int] = mapped_column(
        default=0, server_default=text("0")
    )  # it was accepted again: not counted
    priority: Mapped[int] = mapped_column(default=0, server_default=text("0"))  # among background work of its class
    deadline_unreachable: Mapped[bool] = mapped_column(default=False)  # set aside: served when there is room
    over_share: Mapped[bool] = mapped_column(default=False, server_default=text("false"))  # set aside for its tenant's
    urgent: Mapped[bool] = mapped_column(default=False, server_default=text("false"))  # batch work out of slack
    error_code: Mapped[str | None] = mapped_column(String(64))
    error: Mapped[str | None]
    note: Mapped[str | None]  # why this level, for people

    accepted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    routed_at: Mapped[datetime | None]
    published_at: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    denoised_at: Mapped[datetime | None]
    stored_at: Mapped[datetime | None]
    scored_at: Mapped[datetime | None]
    score: Mapped[float | None]  # the newest image's newest; none before version 0.3, where `score` has it

    @property
    def kind(self) -> str:
        """What is asked for, in the field's words."""
        return self.own_kind or stock_kind(self.source_id is not None, self.mask_id is not None)

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
    step_s: Mapped[float | None]  # the mean of its forwards on the device, whatever ran between them
    work_s: Mapped[float | None]  # of that the device's work: on a CPU less, where its core did something else
    share_s: Mapped[float | None]  # the work on all its steps, each shared by the rows that took it
    steps_run: Mapped[int | None]
    steps_skipped: Mapped[int | None]
    cache_similarity: Mapped[float | None]
    encode_s: Mapped[float | None]
    wait_s: Mapped[float | None]  # encoded, waiting for the next step
    denoise_s: Mapped[float | None]
    decode_s: Mapped[float | None]
    parallel: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))  # the mode that was asked for
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
    fidelity: Mapped[list[Fidelity]] = relationship(viewonly=True)
    scores: Mapped[list[Score]] = relationship(
        back_populates="image", cascade="all, delete-orphan", passive_deletes=True
    )


class Fidelity(Base):
    """How an image keeps to those it began with, by one measure (`workers.scoring.fidelity`)."""

    __tablename__ = "fidelity"

    image_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("image.id", ondelete="CASCADE"), primary_key=True)
    measure: Mapped[str] = mapped_column(String(16), primary_key=True)
    value: Mapped[float]


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
