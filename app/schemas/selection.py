"""A selection of requests, of a job or of all: the query of a list, and the body of what is to happen to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.schemas.base import AnyWhole, ClassName, Flag, Out, Time, listed
from core.states import State

MOST_IDS, MOST_PLACES, MOST_WORDS = 1000, 1000, 20
TEXT_CHARS = 200
MOST_PRIORITY = 1000


def _words(kind: str, **more: Any) -> tuple[Any, ...]:
    """What makes a list one that may be written with commas, as queries and forms have to."""
    return BeforeValidator(listed), WithJsonSchema({"type": "string", "description": kind, **more})


def _printable(value: str) -> str:
    if not value.isprintable():
        raise PydanticCustomError("bad_input", "the text has a control character")
    return value


Name = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]
Place = Annotated[str, Field(pattern=r"^[0-9]{1,9}(-[0-9]{1,9})?$")]
Text = Annotated[str, Field(min_length=1, max_length=TEXT_CHARS), AfterValidator(_printable)]


class Selection(BaseModel):
    """Which requests: those that fulfil all that is said. Left out: whatever it is; lists are written with commas."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[UUID], *_words("Ids of requests.")] | None = Field(
        default=None, max_length=MOST_IDS, description=f"Ids of requests, at most {MOST_IDS:,}."
    )
    positions: Annotated[list[Place], *_words("Places in their job.")] | None = Field(
        default=None,
        max_length=MOST_PLACES,
        description=f"Places in their job, from 0, or from one to another: `0-99,120`; at most {MOST_PLACES:,}.",
    )
    state: Annotated[list[State], *_words("States.")] | None = Field(
        default=None, max_length=MOST_WORDS, description=f"States: {', '.join(State)}."
    )
    level: Annotated[list[Name], *_words("Ids of levels.")] | None = Field(
        default=None, max_length=MOST_WORDS, description="Levels used, or chosen so far (`GET /v1/levels`)."
    )
    service_class: ClassName | None = Field(default=None, description="`interactive` or `batch`.")
    tenant: Name | None = Field(default=None, description="Whose they are; other than your own for `admin`.")
    since: Time | None = Field(default=None, description="Accepted at this time or later (ISO, UTC unless it says).")
    until: Time | None = Field(default=None, description="Accepted before this time.")
    prompt: Text | None = Field(default=None, description="What the prompt contains, in any case.")


class SearchIn(Selection):
    """Which requests, and in which order."""

    like: Text | None = Field(
        default=None,
        description="What the prompt means, in whatever words: those with an image, the nearest first, of a prompt the "
        "four newest. Read by a worker of the router's, some seconds after the image is stored.",
    )


class ListIn(SearchIn):
    """Which requests, and where in their list."""

    limit: AnyWhole = Field(default=100, ge=1, le=1000, description="At most so many.")
    after: str | None = Field(default=None, max_length=100, description="Where the list before ended (`links.next`).")


class MoveIn(Selection):
    """Which requests something is to happen to."""

    dry_run: Flag = Field(default=False, description="Only say how many that would be.")


class ReorderIn(MoveIn):
    """Which requests are to get which priority."""

    priority: Literal["first", "last"] | Annotated[AnyWhole, Field(ge=-MOST_PRIORITY, le=MOST_PRIORITY)] = Field(
        description=f"A whole number from -{MOST_PRIORITY} to {MOST_PRIORITY}, 0 at first; or `first`, `last`: before, "
        "or behind, all else that waits of its class, whatever that has. What is selected then has one priority."
    )


class Moved(Out):
    """What happened to how many requests."""

    move: str = Field(description="cancel, pause, resume, retry or reorder.")
    dry_run: bool
    requests: int = Field(description="How many it changed; with `dry_run`, would change.")
    jobs: int = Field(description="Of how many jobs they are.")
