"""Traces of requests, sent to an OpenTelemetry collector where ARGUS_OTLP_URL names one (docs/decisions/0106).

Requests that a worker had are sent when they have ended, some seconds later, so that their scores are in. What a
collector that is away did not take is sent again, an hour back at most; what ended while no scheduler ran is not sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload

from core.database import transaction
from core.errors import BadSettings
from core.settings import settings
from core.tables import OPEN_STATES, Attempt, Request
from scheduler.observation.spans import Span, span_id, spans

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

log = structlog.get_logger(__name__)
GRACE = timedelta(seconds=15)  # for the score
LONGEST = timedelta(hours=1)
MOST = 2000  # requests a turn
PATIENCE_S = 10.0


class Tracing:
    """Sends what ended since the last turn."""

    def __init__(self, url: str) -> None:
        if not find_spec("opentelemetry"):
            raise BadSettings(
                "Traces need OpenTelemetry: pip install 'argus[traces]', or leave ARGUS_OTLP_URL empty.",
                field="ARGUS_OTLP_URL",
            )
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        self._exporter = OTLPSpanExporter(endpoint=url, timeout=PATIENCE_S)
        self._sent_until = datetime.now(UTC) - GRACE

    def turn(self) -> int:
        """Send traces of requests whose last attempt ended since; returns how many requests that were."""
        now = datetime.now(UTC)
        since, until = max(self._sent_until, now - LONGEST), now - GRACE
        found, until = self._ended(since, until)
        if found and not self._send(found):
            return 0
        self._sent_until = until
        return len({span.trace for span in found})

    def _ended(self, since: datetime, until: datetime) -> tuple[list[Span], datetime]:
        """Spans of requests that ended in (since, until], and how far that is complete."""
        recent = (
            select(Attempt.request_id, Attempt.ended_at)
            .where(Attempt.ended_at > since, Attempt.ended_at <= until)
            .order_by(Attempt.ended_at)
            .limit(MOST)
        )
        with transaction() as session:
            rows = session.execute(recent).all()
            whole = select(Request).where(Request.id.in_({row.request_id for row in rows}))
            whole = whole.where(Request.state.not_in(OPEN_STATES))
            requests = session.scalars(whole.options(joinedload(Request.job), selectinload(Request.tries)))
            found = [span for request in requests for span in spans(request, request.job, request.tries)]
        return found, rows[-1].ended_at if len(rows) == MOST else until

    def _send(self, found: Sequence[Span]) -> bool:
        from opentelemetry.sdk.trace.export import SpanExportResult

        sent = self._exporter.export([_as_sdk_has_it(span) for span in found]) == SpanExportResult.SUCCESS
        if not sent:
            log.warning("traces not taken", spans=len(found))
        return bool(sent)


def make_tracing() -> Tracing | None:
    """Where traces are sent to; none where nobody asked for them, and then nothing of OpenTelemetry is imported."""
    return Tracing(settings().otlp_url) if settings().otlp_url else None


def _as_sdk_has_it(span: Span) -> ReadableSpan:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

    def context(of: int) -> SpanContext:
        return SpanContext(span.trace_id, of, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

    about: dict[str, Any] = {"service.name": f"argus-{span.process}", "service.namespace": "argus"}
    return ReadableSpan(
        span.title,
        context=context(span.span_id),
        parent=context(span_id(span.trace, span.parent)) if span.parent else None,
        resource=Resource(about),
        attributes=span.attributes,
        status=Status(StatusCode.ERROR, span.failed) if span.failed else Status(StatusCode.OK),
        start_time=_nanoseconds(span.start),
        end_time=_nanoseconds(span.end),
    )


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
