"""What Prometheus reads: requests from sums (`app/ops/sums.py`), what is so now from rows, each described once.

All figures come from PostgreSQL or the broker when asked, so every web process tells the same and none is lost at its
restart; but for what leaves no row (`app/ops/refusals.py`). What the broker counts (`COUNTED`) begins anew with that.
Names and labels pass `promtool check metrics`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.ops.refusals import REGISTRY as REFUSALS
from app.ops.sums import Sums
from app.records.plan import UNROUTED
from core.counters import counted
from core.database import transaction
from core.families import Family, load_family
from core.own_work import FROM_USERS_SQL
from core.settings import settings
from core.states import ACTIVE_STATES, ServiceClass
from core.tally import fold_in
from scheduler.observation.target import latency_target_s

OPEN = (
    "FROM request r JOIN job j ON j.id = r.job_id "
    f"WHERE r.state IN ('accepted', 'queued', 'running') AND {FROM_USERS_SQL}"
)


@dataclass(frozen=True)
class Gauge:
    """What is so now: name, help, label names, and the query whose rows are its labels and then its value."""

    name: str
    help: str
    labels: tuple[str, ...]
    sql: str


GAUGES = (
    Gauge(
        "argus_requests_open",
        "Requests that wait or run, by state and level.",
        ("state", "level"),
        f"SELECT r.state, coalesce(r.level, '{UNROUTED}'), count(*) {OPEN} GROUP BY 1, 2",
    ),
    Gauge(
        "argus_oldest_waiting_seconds",
        "Age of the oldest request that waits, by service class; 0 where none does.",
        ("service_class",),
        "SELECT r.service_class, extract(epoch FROM now() - min(r.accepted_at)) "
        f"{OPEN} AND r.state <> 'running' GROUP BY 1",
    ),
    Gauge(
        "argus_overdue",
        "Open requests past their deadline, by service class.",
        ("service_class",),
        f"SELECT r.service_class, count(*) {OPEN} AND r.deadline_at < now() GROUP BY 1",
    ),
    Gauge(
        "argus_workers",
        "Generation workers by state (lost: no heartbeat for ARGUS_STALE_S).",
        ("state",),
        "SELECT CASE WHEN state <> 'stopped' AND seen_at < now() - make_interval(secs => :stale) THEN 'lost' "
        "ELSE state END, count(*) FROM worker GROUP BY 1",
    ),
    Gauge(
        "argus_worker_silence_seconds",
        "Seconds since a worker that was not stopped was last heard.",
        ("worker",),
        "SELECT name, extract(epoch FROM now() - seen_at) FROM worker WHERE state <> 'stopped'",
    ),
    Gauge(
        "argus_images_without_file",
        "Images marked because their file is gone or damaged, until it is drawn again.",
        (),
        "SELECT count(*) FROM image WHERE missing_at IS NOT NULL",
    ),
    Gauge(
        "argus_plan_epoch",
        "Epoch of the plan in force; 0 before the first.",
        (),
        "SELECT coalesce(max(epoch), 0) FROM plan WHERE in_force",
    ),
    Gauge(
        "argus_plan_age_seconds",
        "Seconds since the plan in force was made.",
        (),
        "SELECT extract(epoch FROM now() - max(created_at)) FROM plan WHERE in_force HAVING count(*) > 0",
    ),
)
TARGET = ("argus_latency_target_seconds", "Latency target of requests that set no deadline.")
WORKER_STATES = ("starting", "ready", "stopped", "lost")
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

    def __init__(self, session: Session, family: Family) -> None:
        self._session = session
        self._family = family

    def collect(self) -> Iterator[Metric]:
        fold_in(self._session)
        yield from Sums(self._session, self._family).metrics()
        for gauge in GAUGES:
            yield self._read(gauge)
        yield GaugeMetricFamily(*TARGET, value=latency_target_s(self._session, self._family))

    def describe(self) -> Iterable[Metric]:
        return []  # names are of our own making: no two alike (a test looks)

    def _read(self, gauge: Gauge) -> Metric:
        metric = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
        rows = self._session.execute(text(gauge.sql), {"stale": settings().stale_s})
        found = {**dict.fromkeys(idle(gauge.name, self._family), 0.0), **{tuple(row[:-1]): row[-1] for row in rows}}
        for labels, value in found.items():
            metric.add_metric([str(label) for label in labels], float(value))
        return metric


def idle(name: str, family: Family) -> list[tuple[str, ...]]:
    """Label sets that a gauge has also while nothing is there to count."""
    classes: list[tuple[str, ...]] = [(each.value,) for each in ServiceClass]
    states = [state.value for state in ACTIVE_STATES]
    known: dict[str, list[tuple[str, ...]]] = {
        "argus_requests_open": list(product(states, (*family.levels, UNROUTED))),
        "argus_oldest_waiting_seconds": classes,
        "argus_overdue": classes,
        "argus_workers": [(state,) for state in WORKER_STATES],
    }
    return known.get(name, [])


def exposition() -> tuple[bytes, str]:
    """All metrics in Prometheus' text format, and its media type."""
    registry = CollectorRegistry()
    with transaction() as session:
        registry.register(_Database(session, load_family(settings().family)))
        registry.register(_Broker())
        return generate_latest(registry) + generate_latest(REFUSALS), CONTENT_TYPE_LATEST
