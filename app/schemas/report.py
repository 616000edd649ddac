"""Figures of what was served as they are answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.base import AnyWhole, Out, Time


class WindowIn(BaseModel):
    """How far back figures reach."""

    model_config = ConfigDict(extra="forbid")

    minutes: AnyWhole = Field(default=60, ge=1, le=1440, description="Requests accepted in the last so many minutes.")


class PeriodIn(BaseModel):
    """From when to when."""

    model_config = ConfigDict(extra="forbid")

    since: Time | None = Field(default=None, description="Accepted in the hour of this time or later.")
    until: Time | None = Field(default=None, description="Accepted before this time.")


class MinuteOut(Out):
    """One minute of arrivals."""

    minute: datetime
    accepted: int
    stored: int
    violations: int
    latency_p95_s: float | None
    score_mean: float | None


class ReportOut(Out):
    """Throughput, latencies, violations and quality: of all, by level and by minute."""

    since: datetime
    until: datetime
    images_per_minute: float
    total: dict[str, Any]
    levels: dict[str, dict[str, Any]]
    minutes: list[MinuteOut]
