"""One request inside the engine, from submission to its result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from statistics import mean
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from core.errors import Cancelled
from core.levels import Level
from workers.engine.preemption import PreemptedState
from workers.engine.request import GenerationRequest, GenerationResult, Times
from workers.engine.streams import Mark
from workers.latent_cache.cache import Hit
from workers.parallel.way import ModeRun
from workers.pipelines.base import Adapter
from workers.pipelines.rows import Row, Start, Tensors
from workers.pipelines.sampler_names import common_name, schedule_name

NO_DEADLINE = 1e12  # sorts after every deadline …
LATE = 2e12  # … and before every deadline that has passed


class StepTime(NamedTuple):
    """One of a request's forwards: its seconds, those of the device's work, and the request's share of these."""

    seconds: float
    work: float
    share: float


@dataclass(eq=False)
class RunningRequest:
    """A request, the future of its result, and everything known about it so far.

    It waits for its model, is encoded, waits for admission, runs as a row of a batch, is decoded. Only the thread that
    is working on it changes it, except for `cancelled`, `preempting` and `held`: other threads set them, the loop reads
    them between two steps.
    """

    request: GenerationRequest
    level: Level
    future: Future[GenerationResult] = field(default_factory=Future)
    times: Times = field(default_factory=lambda: Times(admitted=time.time()))
    leased: Adapter | None = None  # its model, which the pool must not drop meanwhile
    fetch: Future[Hit | None] | None = None  # the look-up in the latent cache, under way
    encoded: tuple[Tensors, Tensors | None] | None = None  # conditioning and its unconditional half
    hit: Hit | None = None
    start: Start | None = None
    resumed_from: PreemptedState | None = None  # of an earlier attempt
    batch_sizes: list[int] = field(default_factory=list)  # rows of each of its forwards
    steps_timed: list[StepTime] = field(default_factory=list)  # of those of its forwards that could be timed
    store_at: frozenset[int] = frozenset()  # steps after which the latent cache wants its latent
    latents_to_store: dict[int, Tensor] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    on_x0: Callable[[int, Tensor], Tensor | None] | None = None  # who sees its clean latents
    error: Exception | None = None
    denoised: Mark | None = None  # when the device has made its final latent
    retries: int = 0  # of encoding or decoding, after running out of memory
    cancelled: bool = False
    preempting: bool = False  # cancelled with its state kept, if possible
    held: bool = False  # stands still for another, which is due earlier
    truncated_tokens: tuple[int, int] | None = None  # of prompt and negative prompt, which the encoder did not read
    parallel: ModeRun | None = field(init=False)  # how it is drawn in a mode, if one was asked for
    _row: Row | None = None

    def __post_init__(self) -> None:
        way = (self.request.kind.way if self.request.kind else None) or self.request.way
        self.parallel = ModeRun(way) if way else None

    @property
    def id(self) -> str:
        return self.request.request_id

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of its picture, in pixels."""
        return self.request.width, self.request.height

    @property
    def row(self) -> Row:
        assert self._row is not None, "not encoded yet"
        return self._row

    @row.setter
    def row(self, row: Row) -> None:
        self._row = row

    @property
    def begun(self) -> Start:
        """Where it began at its level."""
        assert self.start is not None, "not placed yet"
        return self.start

    @property
    def adapter(self) -> Adapter:
        assert self.leased is not None, "no model held"
        return self.leased

    @property
    def sampler_name(self) -> str:
        """Name of its sampler's class."""
        return type(self.adapter.scheduler).__name__

    @property
    def steps_left(self) -> int:
        """Forwards still to run."""
        return self.row.sampler.remaining

    @property
    def steps_taken(self) -> tuple[int, int] | None:
        """Steps taken, and all; None before it has its row."""
        return None if self._row is None else (self._row.sampler.steps_done, self._row.sampler.steps)

    @property
    def share_left(self) -> float:
        """The share of its forwards that are still to run."""
        left = self._row.sampler.remaining if self._row is not None else 1
        return left / max(1, left + len(self.batch_sizes))

    @property
    def can_be_kept(self) -> bool:
        """Whether its state is kept on preemption. What a feature cache or a mode would need, too, is too large."""
        begun = self._row is not None and self._row.sampler.index > 0
        return self.preempting and begun and self.row.cache_context is None and not self.in_mode

    @property
    def stands_still(self) -> bool:
        """Whether its row leaves the batch for a while. A feature cache does not outlive that, nor are other devices to
        wait: such a row goes on."""
        goes_on = self.in_mode or (self._row is not None and self._row.cache_context is not None)
        return self.held and not goes_on

    @property
    def in_mode(self) -> bool:
        """Whether its next turn is that of a parallel mode."""
        return self.parallel is not None and self.parallel.is_on

    @property
    def reason_to_end(self) -> Cancelled | None:
        """Why it is not to go on, if so."""
        if not self.cancelled:
            return None
        return Cancelled("Nothing of it is kept; it starts again." if self.preempting else "The request was cancelled.")

    @property
    def late(self) -> bool:
        return self.request.deadline is not None and self.request.deadline < time.time()

    @property
    def urgency(self) -> float:
        """Sort key: earliest deadline first, then those without one, then those whose deadline has passed."""
        if self.request.deadline is None:
            return NO_DEADLINE
        return self.request.deadline + (LATE if self.late else 0.0)

    @property
    def seconds_left(self) -> float:
        """Seconds until its deadline."""
        return math.inf if self.request.deadline is None else self.request.deadline - time.time()

    def mark(self, **when: float) -> None:
        """Record the time of an event: `mark(encoded=time.time())`."""
        self.times = replace(self.times, **when)

    def clear_cache_context(self) -> None:
        """Drop what an `fc` level kept from step to step."""
        if self._row is not None and self._row.cache_context is not None:
            self._row.cache_context.clear()

    def add_reason(self, reason: str) -> None:
        """Add a sentence to the reason in its record."""
        self.reasons.append(reason)


def result_of(request: RunningRequest, image: Image.Image) -> GenerationResult:
    """The record of a finished request."""
    adapter, start, run = request.adapter, request.begun, request.parallel
    step_s, work_s, share_s = map(mean, zip(*request.steps_timed, strict=True)) if request.steps_timed else [None] * 3
    reasons = request.reasons + ([run.note] if run is not None and run.note else [])
    return GenerationResult(
        request_id=request.id,
        image=image,
        level_id=request.level.id,
        model_id=request.level.model,
        steps_run=len(request.batch_sizes),
        steps_skipped=start.skip,
        cache_similarity=start.similarity,
        batch_mean=sum(request.batch_sizes) / max(1, len(request.batch_sizes)),
        batch_max=max(request.batch_sizes, default=0),
        step_s=step_s,
        work_s=work_s,
        share_s=None if share_s is None else len(request.batch_sizes) * share_s,
        times=request.times,
        sampler=common_name(adapter.scheduler),
        guidance=request.row.guidance,
        noise_schedule=schedule_name(adapter.scheduler),
        fetch_s=None if request.hit is None else request.hit.seconds,
        truncated_tokens=request.truncated_tokens,
        reason="; ".join(dict.fromkeys(reasons)) or None,
        parallel=None if run is None else run.record(),
    )
