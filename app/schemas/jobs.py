"""Jobs as they are answered, and how lists of them are asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.base import AnyWhole, Out, WideInt
from app.schemas.requests import TRUNCATED, RequestLine
from app.schemas.selection import Selection


class PageIn(BaseModel):
    """Where in a list."""

    model_config = ConfigDict(extra="forbid")

    page: AnyWhole = Field(default=1, ge=1, le=1_000_000, description="From 1.")
    per_page: AnyWhole = Field(default=100, ge=1, le=1000, description="Entries a page.")


class JobPageIn(Selection, PageIn):
    """Which of a job's requests, and where in their list."""


class PurgeIn(BaseModel):
    """How far a deletion goes."""

    model_config = ConfigDict(extra="forbid")

    purge: bool = Field(default=False, description="Also remove the job's rows and image files.")


class AcceptedRequest(Out):
    """One request of a job just accepted."""

    id: UUID
    seed: WideInt
    custom_id: str | None
    truncated_tokens: int | None = TRUNCATED
    negative_truncated_tokens: int | None = TRUNCATED
    link: str


class Accepted(Out):
    """The answer to a submission. The rows are committed."""

    id: UUID
    size: int
    family: str
    service_class: str
    accepted_at: datetime
    deadline_at: datetime
    published: bool = Field(description="Whether the broker has it; if not, it is published when the broker is back.")
    notes: list[str] = Field(default=[], description="What was assumed of an upload.")
    ignored_columns: list[str] = Field(default=[], description="Columns of an upload that are no options.")
    links: dict[str, str]
    requests: list[AcceptedRequest] = Field(description="The first 10,000 of them.")


class EtaOut(Out):
    """When a job will be done, from what was measured in the last five minutes."""

    seconds: float = Field(description="Until nothing of it is open, or just what is paused.")
    ahead: int = Field(description="Requests of its class that go first.")
    images_per_minute: float = Field(description="The rate that this is taken from: its own, or that of its class.")


class OutputOut(Out):
    """Where Argus writes a job's results, and how far it is."""

    url: str
    written: int = Field(description="Images that are there.")
    error: str | None = Field(description="What went wrong the last time; it is tried again.")
    ended_at: datetime | None = Field(description="When all was written, the manifest too; none while it is not.")


class JobOut(Out):
    """A job and the counts of its requests by state."""

    id: UUID
    title: str | None
    source: str
    family: str
    service_class: str
    state: Literal["waiting", "running", "paused", "done", "failed", "cancelled"] = Field(
        description="waiting: nothing started; paused: what is open is paused; done: nothing open (see `counts`); "
        "failed: nothing open and no image."
    )
    size: int
    priority: int = Field(
        description="Higher goes first, among background work of its class: as the whole job was reordered last."
    )
    counts: dict[str, int]
    progress: float = Field(description="Share of requests that are done, failed or cancelled.")
    eta: EtaOut | None = Field(default=None, description="None once it is done, and while nothing was drawn lately.")
    created_at: datetime
    published_at: datetime | None
    cancelled_at: datetime | None
    webhook: str | None = Field(description="Whom it tells what becomes of it.")
    output: OutputOut | None = Field(default=None, description="Where its results are written, if it asked for that.")
    links: dict[str, str]


class JobPage(JobOut):
    """A job with one page of its requests."""

    page: int
    per_page: int
    selected: int = Field(description="How many of its requests there are on all pages.")
    requests: list[RequestLine]


class JobList(Out):
    """Jobs, newest first."""

    total: int
    page: int
    per_page: int
    jobs: list[JobOut]
