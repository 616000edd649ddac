"""The states of a request, its service class, and how Python types become columns of `core.tables`."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, Enum, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """Column types by annotation."""

    type_annotation_map = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[str]: ARRAY(Text),
        str: Text,
    }


class State(enum.StrEnum):
    """Where a request is. `done`, `failed`, `cancelled` are ends, though it may be accepted again; others are open."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE_STATES = (State.ACCEPTED, State.QUEUED, State.RUNNING)
OPEN_STATES = (*ACTIVE_STATES, State.PAUSED)


class ServiceClass(enum.StrEnum):
    """`interactive` has an SLO; `batch` has a completion window and fills idle capacity."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


def column_of(kind: type[enum.StrEnum]) -> Enum:
    """The column type that keeps such a value as its word."""
    return Enum(kind, native_enum=False, length=16, values_callable=lambda members: [m.value for m in members])
