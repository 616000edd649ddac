"""Requests as they are answered: a line in a list, or everything about one."""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args
from uuid import UUID

from pydantic import Field

from app.schemas.base import Out, WideInt
from app.schemas.errors import ErrorDetail
from app.schemas.images import ImageOut
from core.kinds import Kind

TRUNCATED = Field(
    description="Tokens at its end that the text encoder does not read; none while that is not known: then the worker "
    "that draws it says so."
)


class LoraOut(Out):
    """A LoRA that an image is drawn with."""

    name: str
    weight: float


EMPHASIS = Field(
    default=None,
    description="Weights of words: `2-5:1.2` are the characters 2 to 5 of `prompt`, 1.2 times as strongly; behind `/` "
    "those of `negative_prompt`.",
)


class RequestLine(Out):
    """A request as it stands in the list of its job."""

    id: UUID
    position: int
    custom_id: str | None = Field(description="The client's own id.")
    prompt: str
    seed: WideInt
    loras: list[LoraOut] = []
    emphasis: str | None = EMPHASIS
    truncated_tokens: int | None = TRUNCATED
    negative_truncated_tokens: int | None = TRUNCATED
    state: str
    level_asked: str = Field(description="`auto`, or the level that was named.")
    level: str | None = Field(description="Chosen so far; once done, the one that drew it.")
    image_id: UUID | None
    stored_at: datetime | None
    latency_s: float | None = Field(description="Accepted to stored.")
    score: float | None = Field(description="CLIPScore, once the image is scored.")
    predicted_quality: float | None
    error_code: str | None
    link: str
    similarity: float | None = Field(
        default=None, description="Cosine of what the prompt means and what `like` does; none without `like`."
    )


class RequestList(Out):
    """Requests of all jobs, the newest first; with `like` the nearest in meaning."""

    requests: list[RequestLine]
    links: dict[str, str] = Field(description="`next`: the list goes on there.")


class ParallelOut(Out):
    """The mode that was asked for, and what came of it."""

    mode: str
    ranks: int = Field(description="Devices that drew together.")
    warm_up: int = Field(description="Steps at the beginning in which nothing was stale.")
    turns: int = Field(description="Turns taken in the mode, each one step or, with parataa, several.")
    fall_back: str | None = Field(description="Why the rest, or all of it, was drawn in serial steps.")


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
    step_s: float | None = Field(description="Mean of its steps on the device, whatever ran between them.")
    work_s: float | None = Field(description="Of that the device's work: on a CPU less, where others had its core.")
    share_s: float | None = Field(description="The work on all its steps, each shared by the rows that took it.")
    steps_run: int | None
    steps_skipped: int | None
    cache_similarity: float | None
    encode_s: float | None
    wait_s: float | None
    denoise_s: float | None
    decode_s: float | None
    parallel: ParallelOut | None = Field(default=None, description="None where no mode was asked for.")
    started_at: datetime
    ended_at: datetime | None


class CacheOut(Out):
    """What approximate caching did for a request."""

    hit: bool
    similarity: float | None
    steps_skipped: int


class QualityOut(Out):
    """Relative quality promised and predicted, and the score measured."""

    floor: float | None
    predicted: float | None = Field(description="Relative to `exact`, predicted when the level was chosen.")
    predicted_by_level: dict[str, float] | None = Field(
        description="The same for every level; of a request with a floor, the lower bound at levels that may miss it."
    )
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
    custom_id: str | None = Field(description="The client's own id.")
    family: str
    service_class: str
    state: str
    prompt: str
    negative_prompt: str
    seed: WideInt
    loras: list[LoraOut] = Field(default=[], description="Listed beside the prompt, or named in it by tags.")
    emphasis: str | None = EMPHASIS
    kind: str = Field(description=f"What is made: {', '.join(get_args(Kind))}.")
    operator: dict[str, Any] | None = Field(default=None, description="What the image of a restoration went through.")
    strength: float | None = Field(default=None, description="The share of the steps that is run of one with an image.")
    prompt_asked: str | None = Field(
        description="As it was written, where choices, weights or tags of LoRAs in it made it `prompt`."
    )
    negative_prompt_asked: str | None = Field(description="The same of the negative prompt.")
    truncated_tokens: int | None = TRUNCATED
    negative_truncated_tokens: int | None = TRUNCATED
    width: int
    height: int
    steps: int
    guidance: float
    parallel: str = Field(default="auto", description="The mode that was asked for, `auto` or `off`.")
    level_asked: str
    level: str | None
    strategy: str | None
    model: str | None
    reason: str | None = Field(description="Why this level, or why none yet.")
    notes: list[str] = Field(default=[], description="What in the prompts is read otherwise than one may think.")
    epoch: int | None = Field(description="The plan that chose it.")
    deadline_unreachable: bool = Field(
        description="Set aside, as not all that waited could be in time: drawn when there is room."
    )
    hopeless: bool = Field(description="Old name of `deadline_unreachable`; leaves with version 0.3.", deprecated=True)
    worker: str | None
    cache: CacheOut
    quality: QualityOut
    times: TimesOut
    deadline_at: datetime
    start_by: datetime | None = Field(description="Not begun by then, it is failed (`start_within_s`).")
    latency_s: float | None
    in_time: bool | None = Field(description="Stored by its deadline; none while that is open.")
    attempts: list[AttemptOut]
    images: list[ImageOut] = Field(description="Newest first.")
    error: ErrorDetail | None
    links: dict[str, str]
