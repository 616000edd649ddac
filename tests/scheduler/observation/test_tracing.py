"""A request's life as one OpenTelemetry trace, sent to a collector that listens in this process."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from core.database import transaction
from core.errors import BadSettings
from core.settings import ROOT
from core.tables import Attempt, Job, Request, State
from scheduler.observation import tracing
from scheduler.observation.tracing import Tracing
from tests.conftest import Services


class Collector:
    """What a collector of OpenTelemetry does: take spans."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(outer.status)
                self.end_headers()
                if outer.status == 200:
                    outer.take(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {each.key: each.value.string_value for each in resource.resource.attributes}
            self.spans += [(named["service.name"], span) for scope in resource.scope_spans for span in scope.spans]


@pytest.fixture
def collector(database: Services) -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.shutdown()


def ended(state: State = State.DONE, **columns: Any) -> uuid.UUID:
    """A request that was drawn at the second attempt and scored, half a minute ago."""
    at = datetime.now(UTC) - timedelta(seconds=40)
    job = Job(family="toy", source="api", size=1, created_at=at, published_at=at + timedelta(seconds=0.1))
    times = {"routed_at": at + timedelta(seconds=0.3), "started_at": at + timedelta(seconds=6)}
    times |= {"stored_at": at + timedelta(seconds=10), "scored_at": at + timedelta(seconds=12)}
    request = Request(
        **{"position": 0, "family": "toy", "prompt": "a secret fox", "seed": 7, "width": 8, "height": 8, "steps": 4},
        **{"guidance": 1.0, "deadline_at": at + timedelta(seconds=60), "accepted_at": at, "attempts": 2},
        **{"state": state, "level": "fs-4", **times, **columns},
    )
    job.requests = [request]
    with transaction() as session:
        session.add(job)
        session.flush()
        about: dict[str, Any] = {"request_id": request.id, "worker": "w", "boot": uuid.uuid4(), "model": "large"}
        lost = Attempt(number=1, level="exact", outcome="lost", reason="its worker ended", **about)
        lost.started_at, lost.ended_at = at + timedelta(seconds=1), at + timedelta(seconds=5)
        drew = Attempt(number=2, level="fs-4", outcome="done", encode_s=0.2, wait_s=0.3, denoise_s=2.0, **about)
        drew.started_at, drew.ended_at = at + timedelta(seconds=6), at + timedelta(seconds=10)
        drew.decode_s, drew.batch_mean, drew.steps_run = 1.0, 2.5, 4
        session.add_all([lost, drew])
        return request.id


def a_minute_ago(tracing: Tracing) -> Tracing:
    tracing._sent_until = datetime.now(UTC) - timedelta(minutes=1)
    return tracing


def test_four_processes_are_one_trace_under_the_id_of_the_request(collector: Collector) -> None:
    request = ended()
    assert a_minute_ago(Tracing(collector.url)).turn() == 1
    assert {span.trace_id for _, span in collector.spans} == {request.bytes}
    told = {(service, span.name) for service, span in collector.spans}
    assert told == {
        ("argus-web", "request"), ("argus-web", "accept"), ("argus-scheduler", "route"), ("argus-scheduler", "queue"),
        ("argus-worker", "attempt"), ("argus-worker", "admit"), ("argus-worker", "steps"), ("argus-worker", "decode"),
        ("argus-worker", "store"), ("argus-quality", "score"),
    }  # fmt: skip
    known = {span.span_id: span for _, span in collector.spans}
    assert len(known) == len(collector.spans) == 11
    for _, span in collector.spans:
        above = known.get(span.parent_span_id)
        assert (above is None) == (span.name == "request")
        if above is not None:
            assert above.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
            assert span.end_time_unix_nano <= above.end_time_unix_nano


def test_spans_say_how_long_and_how_it_was_drawn_but_never_the_prompt(collector: Collector) -> None:
    ended()
    a_minute_ago(Tracing(collector.url)).turn()
    by_name = {span.name: span for _, span in collector.spans}
    steps = by_name["steps"]
    assert (steps.end_time_unix_nano - steps.start_time_unix_nano) / 1e9 == pytest.approx(2.0, abs=0.001)
    attempts = [span for _, span in collector.spans if span.name == "attempt"]
    outcomes = {
        each.value.string_value for span in attempts for each in span.attributes if each.key.endswith("outcome")
    }
    assert outcomes == {"lost", "done"}
    assert sorted(span.status.code for span in attempts) == [1, 2]  # as it should, and an error
    assert "secret fox" not in str(collector.spans)


def test_what_is_open_waits_and_what_was_sent_is_not_sent_again(collector: Collector) -> None:
    ended(State.QUEUED)
    sender = a_minute_ago(Tracing(collector.url))
    assert sender.turn() == 0
    ended()
    assert a_minute_ago(sender).turn() == 1
    assert sender.turn() == 0


def test_a_collector_that_is_away_gets_them_later(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "PATIENCE_S", 0.5)
    ended(State.FAILED, error_code="generation_failed")
    sender = a_minute_ago(Tracing(collector.url))
    collector.status = 500
    assert sender.turn() == 0
    collector.status = 200
    assert sender.turn() == 1
    assert {span.status.code for _, span in collector.spans if span.name == "request"} == {2}


def test_without_the_setting_nothing_of_opentelemetry_is_imported() -> None:
    code = (
        "import sys; from scheduler.tasks import make_tracing; assert make_tracing() is None; "
        "sys.exit(any(name.startswith('opentelemetry.exporter') for name in sys.modules))"
    )  # redis imports its interface by itself where it is installed
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120).returncode == 0


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "find_spec", lambda name: None)
    with pytest.raises(BadSettings, match=r"argus\[traces\]"):
        Tracing("http://127.0.0.1:1/v1/traces")
