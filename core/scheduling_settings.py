"""Settings of planning and of what is promised. Put together in `core.settings`."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings


class SchedulingSettings(BaseSettings):
    """How it is planned, what is promised, what is given up when, and how long records stay."""

    policy: str = Field("argus", description="Scheduling policy, a name of scheduler/policies/.")
    tick_s: float = Field(10.0, gt=0, description="Seconds between two plans.")
    slo_s: float = Field(
        0.0,
        ge=0,
        description="Latency target in seconds for requests without a deadline. 0: `slo_factor` × what `exact` takes "
        "here, as workers measure it, at least 2 s.",
    )
    slo_factor: float = Field(3.0, gt=0, description="SLO as a multiple of the measured latency of `exact`.")
    floor_z: float = Field(
        0.5,
        ge=0,
        le=5,
        description="A level keeps a request's `min_quality` when its predicted quality is above it by so many "
        "standard deviations of the prediction. 0: when the mean is. More: fewer images under their floor, more of "
        "them at `exact` (docs/results/scheduler.md, Floors).",
    )
    batch_window_s: float = Field(86_400.0, gt=0, description="Completion window of the batch class in seconds.")
    history_days: float = Field(
        30.0,
        gt=0,
        description="Days that plans, assignments, workers that left and replaced predictors are kept. Requests and "
        "images stay until their job is purged, or ARGUS_RETENTION_DAYS are over.",
    )
    retention_days: float = Field(
        0.0,
        ge=0,
        description="Days after which jobs that have ended are removed with their images, from when anything was last "
        "done of them, where their tenant has no number of its own. 0: never.",
    )
    action_days: float = Field(
        365.0, gt=0, description="Days that it is kept who created, cancelled and removed which job (`client_action`)."
    )
    max_attempts: int = Field(
        3,
        ge=1,
        description="Attempts before a request is failed; what a worker, store or database that is lost costs is none.",
    )
    stale_s: float = Field(
        8.0,
        gt=0,
        description="Seconds without a heartbeat after which a worker is lost. It beats four times in that.",
    )
