"""The plan in force and the workers as they are answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from app.schemas.base import Out


class WorkerOut(Out):
    """A worker as it last described itself."""

    name: str
    device: str
    device_type: str
    state: str = Field(description="`lost` when it has not reported for ARGUS_STALE_S.")
    models: list[str]
    queues: list[str]
    assigned: list[str] = Field(description="Models it was assigned.")
    seen_at: datetime
    started_at: datetime


class PlanOut(Out):
    """A plan: what was seen, what was decided and why."""

    epoch: int
    policy: str
    status: str
    reason: str
    observed: dict[str, Any]
    decided: dict[str, Any]
    seconds: float
    created_at: datetime


class PlanPage(Out):
    """The plan in force and the workers it is about."""

    plan: PlanOut | None
    waiting: dict[str, int] = Field(description="Requests that wait, by level; `unrouted` have none yet.")
    running: dict[str, int]
    workers: list[WorkerOut]
