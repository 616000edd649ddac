"""The life of a request as spans, read from its rows. Every process writes what it did there, so what happened in four
processes is one trace, and nothing on the way of a request knows of traces.

::

    request ─┬─ accept      web         committed to handed on
             ├─ route       scheduler   to the choice of a level
             ├─ queue       scheduler   to the claim of a worker
             ├─ attempt ─┬─ admit       encoded, and waiting for the next denoising step
             │  worker   ├─ steps       denoising steps, in batches
             │           ├─ decode      latent to image
             │           └─ store       image to the store, rows to PostgreSQL
             └─ score       quality     image against prompt

A trace has the request's id; ids of spans follow from that and their names, so that a span sent twice is one.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from core.tables import Attempt, Job, Request, State

Value = str | int | float | bool


@dataclass(frozen=True)
class Span:
    """One stretch of a request's life; `parent` is the name of another span of it, `process` who did it."""

    trace: uuid.UUID
    name: str
    process: str
    start: datetime
    end: datetime
    parent: str | None = "request"
    attributes: dict[str, Value] = field(default_factory=dict)
    failed: str | None = None

    @property
    def trace_id(self) -> int:
        return self.trace.int

    @property
    def span_id(self) -> int:
        return span_id(self.trace, self.name)

    @property
    def title(self) -> str:
        """The name without the number of the attempt."""
        return self.name.partition(" ")[0]


def span_id(trace: uuid.UUID, name: str) -> int:
    """64 bits that follow from both, never 0."""
    return int.from_bytes(hashlib.sha256(trace.bytes + name.encode()).digest()[:8], "big") or 1


def spans(request: Request, job: Job, attempts: list[Attempt]) -> Iterator[Span]:
    """All spans of a request that has ended; prompts are in none."""
    whole = request.accepted_at
    ends = [request.scored_at, request.stored_at, *(attempt.ended_at for attempt in attempts)]
    yield Span(
        request.id,
        "request",
        "web",
        whole,
        max(filter(None, ends), default=whole),
        parent=None,
        attributes=_about(request, job),
        failed=request.error_code if request.state == State.FAILED else None,
    )
    handed_on = min(job.published_at or whole, request.routed_at or whole)
    begun = attempts[0].started_at if attempts else None
    stretches = [
        ("accept", "web", whole, max(whole, handed_on)),
        ("route", "scheduler", max(whole, handed_on), request.routed_at),
        ("queue", "scheduler", request.routed_at, begun),
        ("score", "quality", request.stored_at, request.scored_at),
    ]
    for name, process, start, end in stretches:
        if start and end and end >= start:
            yield Span(request.id, name, process, start, end)
    for attempt in attempts:
        yield from _of(attempt, request)


def _of(attempt: Attempt, request: Request) -> Iterator[Span]:
    """An attempt and its parts, one after the other from its claim."""
    name, at, end = f"attempt {attempt.number}", attempt.started_at, attempt.ended_at
    if end is None:
        return
    about: dict[str, Value | None] = {"level": attempt.level, "model": attempt.model, "worker": attempt.worker}
    about |= {"outcome": attempt.outcome, "batch_mean": attempt.batch_mean, "steps": attempt.steps_run}
    about |= {"steps_skipped": attempt.steps_skipped, "cache_similarity": attempt.cache_similarity}
    failed = None if attempt.outcome == "done" else f"{attempt.outcome}: {attempt.reason or ''}"
    yield Span(request.id, name, "worker", at, end, attributes=_known(about), failed=failed)
    if attempt.outcome != "done" or attempt.denoise_s is None:
        return
    parts = {"admit": (attempt.encode_s or 0) + (attempt.wait_s or 0), "steps": attempt.denoise_s}
    for part, seconds in {**parts, "decode": attempt.decode_s or 0}.items():
        until = min(end, at + timedelta(seconds=seconds))
        yield Span(request.id, f"{part} {attempt.number}", "worker", at, until, parent=name)
        at = until
    yield Span(request.id, f"store {attempt.number}", "worker", at, end, parent=name)


def _about(request: Request, job: Job) -> dict[str, Value]:
    late = request.stored_at > request.deadline_at if request.stored_at else None
    said: dict[str, Value | None] = {
        "request": str(request.id),
        "job": str(request.job_id),
        "tenant": request.tenant,
        "source": job.source,
        "family": request.family,
        "service_class": request.service_class.value,
        "state": request.state.value,
        "level": request.level,
        "seed": str(request.seed),
        "late": late,
        "predicted_quality": request.predicted_quality,
        "clip_score": request.score,
    }
    return _known(said)


def _known(said: dict[str, Value | None]) -> dict[str, Value]:
    return {f"argus.{name}": value for name, value in said.items() if value is not None}
