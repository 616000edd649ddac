"""What goes over the wire: the shapes of submissions and answers. OpenAPI is made from these.

Static ranges stand here; what depends on the family (sizes, steps, guidance, levels, length of prompts) is checked in
`app/submission.py`. Unknown fields are refused, numbers in quotes too: a typo must not become a default.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from apiflask.fields import UploadFile
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

MAX_SEED = 2**32 - 1  # what every sampler and every JSON reader takes
MAX_DEADLINE_S = 30 * 86_400.0
TITLE_CHARS = 200

Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
ClassName = Literal["interactive", "batch"]


class In(BaseModel):
    """A body that is sent to us."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Out(BaseModel):
    """A body that we answer."""

    model_config = ConfigDict(from_attributes=True)


class Options(In):
    """How images are made; what is left out is the family's default (`GET /v1/levels`)."""

    negative_prompt: str | None = Field(default=None, description="What the image should not show.")
    seed: Seed | None = Field(
        default=None, description="Seed of the (first) image. Left out: drawn, and told in the answer."
    )
    width: int | None = Field(default=None, description="Pixels; width and height must be one of the family's sizes.")
    height: int | None = Field(default=None, description="Pixels.")
    steps: int | None = Field(
        default=None, description="Denoising steps asked of `exact`; cheaper levels scale from it."
    )
    guidance: float | None = Field(default=None, description="Classifier-free guidance scale.")
    level: str | None = Field(default=None, description="`auto` (default) or a level's id, which is then kept.")
    min_quality: Share | None = Field(
        default=None,
        description="Lowest relative quality wanted (1 = as good as `exact`); a level below it is not chosen.",
    )


class PromptIn(Options):
    """One prompt with options of its own, which win over the job's."""

    prompt: str = Field(description="Text, UTF-8, no control characters.")


def _kind(value: Any) -> str:
    return "text" if isinstance(value, str) else "object"


AnyPrompt = Annotated[
    Annotated[str, Tag("text")] | Annotated[PromptIn, Tag("object")],
    Discriminator(_kind),
]


class JobOptions(Options):
    """Options of a whole job."""

    n: int = Field(default=1, ge=1, le=10_000, description="Images a prompt, with seeds `seed`, `seed`+1, …")
    deadline_s: float | None = Field(
        default=None,
        gt=0,
        le=MAX_DEADLINE_S,
        description="Seconds in which the images are wanted. Left out: the SLO in force.",
    )
    service_class: ClassName = Field(
        default="interactive",
        description="`interactive` has a latency target; `batch` fills idle capacity within a window.",
    )
    title: str | None = Field(default=None, max_length=TITLE_CHARS, description="A name for people.")


class JobIn(JobOptions):
    """A submission: one `prompt` or many `prompts`, each once for every seed."""

    prompt: str | None = Field(default=None, description="The only prompt. Either this or `prompts`.")
    prompts: list[AnyPrompt] | None = Field(
        default=None, description="Prompts: texts, or objects with options of their own."
    )
    seeds: list[Seed] | None = Field(
        default=None, min_length=1, description="One image a prompt for each of these seeds."
    )


class FormIn(JobOptions):
    """The same options written as text, as forms send them; blank means left out."""

    model_config = ConfigDict(strict=False)

    @model_validator(mode="before")
    @classmethod
    def _blank_means_left_out(cls, values: Any) -> Any:
        return {name: value for name, value in values.items() if not (isinstance(value, str) and not value.strip())}

    def job(self, **more: Any) -> JobIn:
        """The job these options describe."""
        return JobIn(**{name: getattr(self, name) for name in JobOptions.model_fields}, **more)


class UploadIn(FormIn):
    """A file of prompts, and options for those that say nothing else."""

    file: UploadFile = Field(description="CSV with a header and a column `prompt`, or JSON lines (`.jsonl`).")
    service_class: ClassName = Field(default="batch", description="A file is `batch` unless this says `interactive`.")


class PageIn(BaseModel):
    """Where in a list."""

    model_config = ConfigDict(extra="forbid")

    page: int = Field(default=1, ge=1, le=1_000_000, description="From 1.")
    per_page: int = Field(default=100, ge=1, le=1000, description="Entries a page.")


class PurgeIn(BaseModel):
    """How far a deletion goes."""

    model_config = ConfigDict(extra="forbid")

    purge: bool = Field(default=False, description="Also remove the job's rows and image files.")


class WindowIn(BaseModel):
    """How far back figures reach."""

    model_config = ConfigDict(extra="forbid")

    minutes: int = Field(default=60, ge=1, le=1440, description="Requests accepted in the last so many minutes.")


class ErrorDetail(Out):
    """What is wrong, where, and what to do."""

    code: str = Field(description="Stable; `docs/errors.md` lists all.")
    message: str
    field: str | None = Field(default=None, description="The part of the input at fault.")


ERROR_BODY: dict[str, Any] = {  # of every 4xx and 5xx answer
    "type": "object",
    "properties": {"error": ErrorDetail.model_json_schema()},
    "required": ["error"],
}


class AcceptedRequest(Out):
    """One request of a job just accepted."""

    id: UUID
    seed: int
    link: str


class Accepted(Out):
    """The answer to a submission. The rows are committed."""

    id: UUID
    size: int
    family: str
    service_class: str
    accepted_at: datetime
    deadline_at: datetime
    published: bool = Field(description="Whether the broker took it; if not, it is published when the broker is back.")
    ignored_columns: list[str] = Field(default=[], description="Columns of an upload that mean nothing here.")
    links: dict[str, str]
    requests: list[AcceptedRequest]


class RequestLine(Out):
    """A request as it stands in the list of its job."""

    id: UUID
    position: int
    prompt: str
    seed: int
    state: str
    level: str | None
    image_id: UUID | None
    stored_at: datetime | None
    latency_s: float | None = Field(description="Accepted to stored.")
    score: float | None = Field(description="CLIPScore, once the image is judged.")
    predicted_quality: float | None
    error_code: str | None
    link: str


class JobOut(Out):
    """A job and the counts of its requests by state."""

    id: UUID
    title: str | None
    source: str
    family: str
    service_class: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"] = Field(
        description="waiting: nothing started; done: nothing open (see `counts`); failed: nothing open and no image."
    )
    size: int
    counts: dict[str, int]
    progress: float = Field(description="Share of requests that are done, failed or cancelled.")
    created_at: datetime
    published_at: datetime | None
    cancelled_at: datetime | None
    links: dict[str, str]


class JobPage(JobOut):
    """A job with one page of its requests."""

    page: int
    per_page: int
    requests: list[RequestLine]


class JobList(Out):
    """Jobs, newest first."""

    total: int
    page: int
    per_page: int
    jobs: list[JobOut]


class AttemptOut(Out):
    """One try of a worker. Times in seconds."""

    number: int
    worker: str
    level: str
    model: str
    outcome: str | None = Field(description="None while it runs.")
    reason: str | None
    batch_mean: float | None = Field(description="Mean number of rows that shared its denoising steps.")
    batch_max: int | None
    steps_run: int | None
    steps_skipped: int | None
    cache_similarity: float | None
    encode_s: float | None
    wait_s: float | None
    denoise_s: float | None
    decode_s: float | None
    started_at: datetime
    ended_at: datetime | None


class ImageOut(Out):
    """A stored image."""

    id: UUID
    width: int
    height: int
    bytes: int
    sha256: str
    level: str
    model: str
    family_version: str
    created_at: datetime
    score: float | None
    scorer: str | None
    link: str


class CacheOut(Out):
    """What approximate caching did for a request."""

    hit: bool
    similarity: float | None
    steps_skipped: int


class QualityOut(Out):
    """Relative quality promised and predicted, and the score measured."""

    floor: float | None
    predicted: float | None = Field(description="Relative to `exact`, predicted when the level was chosen.")
    predicted_by_level: dict[str, float] | None
    score: float | None = Field(description="Measured CLIPScore of the image against the prompt.")
    scorer: str | None


class TimesOut(Out):
    """When each thing happened."""

    accepted_at: datetime
    routed_at: datetime | None
    published_at: datetime | None
    started_at: datetime | None
    denoised_at: datetime | None
    stored_at: datetime | None
    scored_at: datetime | None


class RequestOut(Out):
    """Everything about one request: what was asked, what it got, and why."""

    id: UUID
    job_id: UUID
    position: int
    family: str
    service_class: str
    state: str
    prompt: str
    negative_prompt: str
    seed: int
    width: int
    height: int
    steps: int
    guidance: float
    level_asked: str
    level: str | None
    strategy: str | None
    model: str | None
    reason: str | None = Field(description="Why this level.")
    epoch: int | None = Field(description="The plan that chose it.")
    deadline_unreachable: bool = Field(description="No level could meet the deadline: served when there is room.")
    hopeless: bool = Field(description="Old name of `deadline_unreachable`; leaves with version 0.3.", deprecated=True)
    worker: str | None
    cache: CacheOut
    quality: QualityOut
    times: TimesOut
    deadline_at: datetime
    latency_s: float | None
    in_time: bool | None = Field(description="Stored by its deadline; none while that is open.")
    attempts: list[AttemptOut]
    images: list[ImageOut] = Field(description="Newest first.")
    error: ErrorDetail | None
    links: dict[str, str]


class MeasuredOut(Out):
    """What a level costs on a type of device, as measured."""

    requests_per_minute: float
    latency_s: float
    quality: float


class LevelOut(Out):
    """A level of the family."""

    id: str
    strategy: str
    model: str
    queue: str
    steps: int = Field(description="Sampler steps of a request with the family's default step count.")
    steps_skipped: int
    reference: bool = Field(description="The level whose quality is 1.")
    measured: dict[str, MeasuredOut] = Field(description="By type of device.")


class LevelsOut(Out):
    """The family served: what may be asked, and its levels."""

    family: str
    title: str
    version: str
    defaults: dict[str, float]
    limits: dict[str, Any]
    levels: list[LevelOut]


class WorkerOut(Out):
    """A worker as it last described itself."""

    name: str
    device: str
    device_type: str
    state: str = Field(description="`lost` when it has not been heard of for ARGUS_STALE_S.")
    models: list[str]
    queues: list[str]
    assigned: list[str] = Field(description="Models it was told to hold.")
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
