"""What PostgreSQL keeps of planning: plans, assignments, workers, profiles, predictors. `core.tables` has them too."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, SmallInteger, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from core.states import Base


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
