"""The same prompt at several levels: as it is asked for, and as it is answered."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.schemas.base import ClassName, Out, Seed, WideInt
from app.schemas.submission import LEVEL_CHARS, TITLE_CHARS, Options

MOST_LEVELS, MOST_SEEDS = 20, 16
SEEDS = (1, 2)


class CompareIn(Options):
    """One prompt, drawn at each of these levels with each of these seeds. `level` and `seed` say the only one."""

    prompt: str = Field(description="Text, UTF-8, no control characters.")
    levels: list[Annotated[str, Field(max_length=LEVEL_CHARS)]] | None = Field(
        default=None, min_length=1, max_length=MOST_LEVELS, description="Ids of levels. Left out: all of the family's."
    )
    seeds: list[Seed] | None = Field(
        default=None, min_length=1, max_length=MOST_SEEDS, description=f"Left out: {SEEDS[0]} and {SEEDS[1]}."
    )
    service_class: ClassName = Field(default="interactive", description="As of a job.")
    title: str | None = Field(default=None, max_length=TITLE_CHARS, description="A name for people.")


class CellOut(Out):
    """One level with one seed."""

    request_id: UUID
    seed: WideInt
    state: str
    error_code: str | None
    image_id: UUID | None
    score: float | None = Field(description="CLIPScore, once the image is scored.")
    relative: float | None = Field(description="That score over the reference level's with the same seed.")
    predicted_quality: float | None
    seconds: float | None = Field(description="From the start of drawing to the stored image.")
    steps_skipped: int | None = Field(
        description="At levels that start from a cached latent: the steps that it stood in for. 0: none was near "
        "enough, and it was drawn in full. None at other levels."
    )
    latency_s: float | None = Field(description="From acceptance to the stored image.")
    link: str
    image: str | None = Field(description="Where the image is.")


class RowOut(Out):
    """One level with every seed, in their order; a cell is none where that was not asked for."""

    level: str
    reference: bool
    seconds: float | None = Field(description="Mean of its images.")
    score: float | None
    relative: float | None
    cells: list[CellOut | None]


class ComparisonOut(Out):
    """A grid of level × seed."""

    id: UUID = Field(description="Of the job that draws it.")
    prompt: str
    seeds: list[WideInt]
    progress: float
    levels: list[RowOut]
    links: dict[str, str]
