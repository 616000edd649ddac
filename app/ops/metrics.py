"""What Prometheus reads, each described once in `METRICS`.

All figures come from PostgreSQL or the broker when asked, so every web process tells the same and none is lost at its
restart; but for what leaves no row (`app/ops/refusals.py`). What the broker counts (`COUNTED`) begins anew with that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.ops.refusals import REGISTRY as REFUSALS
from core.counters import counted
from core.database import transaction
from core.settings import settings

RECENT = "source <> 'audit' AND stored_at > now() - interval '5 minutes'"


@dataclass(frozen=True)
class Described:
    """A metric: name, kind, help, label names, and the query whose rows are its labels and then its value."""

    name: str
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily]
    help: str
    labels: tuple[str, ...]
    sql: str


METRICS = (
    Described(
        "argus_requests_accepted",
        CounterMetricFamily,
        "Requests accepted (falls when a job is purged).",
        ("service_class",),
        "SELECT service_class, count(*) FROM request GROUP BY 1",
    ),
    Described(
        "argus_requests_open",
        GaugeMetricFamily,
        "Requests that wait or run, by state and level.",
        ("state", "level"),
        "SELECT state, coalesce(level, 'unrouted'), count(*) FROM request "
        "WHERE state IN ('accepted', 'queued', 'running') GROUP BY 1, 2",
    ),
    Described(
        "argus_requests_final",
        CounterMetricFamily,
        "Requests that ended, by state and level (falls when a job is purged).",
        ("state", "level"),
        "SELECT state, coalesce(level, 'unrouted'), count(*) FROM request "
        "WHERE state IN ('done', 'failed', 'cancelled') GROUP BY 1, 2",
    ),
    Described(
        "argus_latency_seconds",
        GaugeMetricFamily,
        "Acceptance to stored image of what was stored in the last 5 minutes, by level and quantile.",
        ("level", "quantile"),
        "SELECT level, q, percentile_cont(q) WITHIN GROUP (ORDER BY latency_s) FROM report_request, "
        f"unnest(ARRAY[0.5, 0.95, 0.99]) q WHERE {RECENT} GROUP BY 1, 2",
    ),
    Described(
        "argus_images_per_minute",
        GaugeMetricFamily,
        "Images stored a minute, over the last 5 minutes.",
        (),
        f"SELECT count(*) / 5.0 FROM report_request WHERE {RECENT}",
    ),
    Described(
        "argus_late_share",
        GaugeMetricFamily,
        "Share of the images stored in the last 5 minutes that were late.",
        (),
        f"SELECT coalesce(avg(violated::int), 0) FROM report_request WHERE {RECENT}",
    ),
    Described(
        "argus_overdue",
        GaugeMetricFamily,
        "Open requests past their deadline.",
        (),
        "SELECT count(*) FROM request WHERE state IN ('accepted', 'queued', 'running') AND deadline_at < now()",
    ),
    Described(
        "argus_clip_score",
        GaugeMetricFamily,
        "Mean CLIPScore of images stored in the last 5 minutes, by level.",
        ("level",),
        f"SELECT level, avg(score) FROM report_request WHERE {RECENT} AND score IS NOT NULL GROUP BY 1",
    ),
    Described(
        "argus_workers",
        GaugeMetricFamily,
        "Generation workers by state (lost: no heartbeat for ARGUS_STALE_S).",
        ("state",),
        "SELECT CASE WHEN state <> 'stopped' AND seen_at < now() - make_interval(secs => :stale) THEN 'lost' "
        "ELSE state END, count(*) FROM worker GROUP BY 1",
    ),
    Described(
        "argus_images_without_file",
        GaugeMetricFamily,
        "Images marked because their file is gone or damaged, until it is drawn again.",
        (),
        "SELECT count(*) FROM image WHERE missing_at IS NOT NULL",
    ),
    Described(
        "argus_plan_epoch",
        GaugeMetricFamily,
        "Epoch of the plan in force.",
        (),
        "SELECT max(epoch) FROM plan WHERE in_force HAVING max(epoch) IS NOT NULL",
    ),
    Described(
        "argus_plan_age_seconds",
        GaugeMetricFamily,
        "Seconds since the plan in force was made.",
        (),
        "SELECT extract(epoch FROM now() - max(created_at)) FROM plan WHERE in_force HAVING count(*) > 0",
    ),
)


COUNTED = {
    "unreadable": "Messages put aside because they could not be read (newest in the broker's list argus.unreadable).",
    "stalled": "Processes that ended because they took none of the messages that waited, or hung.",
    "orphans_removed": "Files removed from the image store because no image had them.",
    "partials_removed": "Files removed from the image store that were never written to their end.",
    "images_missing": "Images whose file was found to be gone or damaged.",
    "images_restored": "Missing images whose file is there again, drawn anew or put back.",
}


class _Broker(Collector):
    """What processes have counted, in one round trip."""

    def collect(self) -> Iterator[Metric]:
        found = counted()
        for name, help in COUNTED.items():
            yield CounterMetricFamily(f"argus_{name}", help, value=found.get(name, 0))

    def describe(self) -> Iterable[Metric]:
        return [CounterMetricFamily(f"argus_{name}", help) for name, help in COUNTED.items()]


class _Database(Collector):
    """Reads all metrics in one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def collect(self) -> Iterator[Metric]:
        for described in METRICS:
            yield self._read(described)

    def describe(self) -> Iterable[Metric]:
        return [described.kind(described.name, described.help, labels=described.labels) for described in METRICS]

    def _read(self, described: Described) -> Any:
        family = described.kind(described.name, described.help, labels=described.labels)
        for *labels, value in self._session.execute(text(described.sql), {"stale": settings().stale_s}):
            family.add_metric([str(label) for label in labels], float(value))
        return family


def exposition() -> tuple[bytes, str]:
    """All metrics in Prometheus' text format, and its media type."""
    registry = CollectorRegistry()
    with transaction() as session:
        registry.register(_Database(session))
        registry.register(_Broker())
        return generate_latest(registry) + generate_latest(REFUSALS), CONTENT_TYPE_LATEST
