"""What the engine is asked for and what it answers. No torch here: tasks and tests may import it freely."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL.Image import Image

from core.families import Level

MOVABLE = ("exact", "fs")  # strategies whose schedules a running request can go on along


@dataclass(frozen=True)
class Order:
    """One request, as the engine sees it.

    `steps` and `guidance` are the request's own; the level scales or replaces them. `deadline` is Unix seconds.
    `allowed_levels` are ids the engine may change to by itself: to the mildest cheaper one of the same model, when the
    request would miss its deadline or its own level is not among them any more. Where none is named it stays as it is.
    `embedding` is the prompt's (384 float32), when whoever routed it has it at hand; approximate caching uses it.
    `attempt` counts the tries at this request: one that was parked goes on where it stood at the very next.
    A request past its deadline goes behind those still in time; with `drop_late` it is given up instead.
    """

    request_id: str
    prompt: str
    seed: int
    level: Level
    steps: int
    guidance: float
    width: int
    height: int
    negative_prompt: str = ""
    deadline: float | None = None
    allowed_levels: tuple[str, ...] = ()
    drop_late: bool = False
    attempt: int = 1
    embedding: np.ndarray | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Times:
    """Unix seconds at which a request was taken in, encoded, first stepped, denoised and decoded."""

    admitted: float = 0.0
    encoded: float = 0.0
    started: float = 0.0
    denoised: float = 0.0
    decoded: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """A finished request: the image, what it was really given, and why where that differs from what was asked."""

    request_id: str
    image: Image
    level_id: str
    model_id: str
    steps_run: int
    steps_skipped: int
    cache_similarity: float | None
    batch_mean: float
    batch_max: int
    times: Times
    fetch_s: float | None = None
    reason: str | None = None


#: `late_binding(order, seconds_left, rows_running)` answers the id of the level to run at, or None to keep it.
LateBinding = Callable[[Order, float | None, int], str | None]
