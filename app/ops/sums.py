"""Counters and histograms of requests, from the sums of all time (`core.tally_tables`): they never fall, whatever is
purged, and every web process tells the same. What Argus draws for itself (audits) is not among them.

A label set that has seen nothing yet is told as zero, so that a rate over it begins with the first request.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, product
from typing import Any

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric, SummaryMetricFamily
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.records.plan import UNROUTED
from core.families import Family
from core.states import ServiceClass
from core.tally_tables import BUCKETS, COUNTS, SUMS, TALLY

ALL_TIME = (TALLY.c.hour == text("'-infinity'"), ~TALLY.c.background)
BY = ("level", "service_class")
ENDS = ("done", "failed", "cancelled")
TOLD = (1, 2, 2.5, 5)  # of the ten bounds a decade that are kept, those with these digits
HISTOGRAMS = {
    "latency": "Seconds from acceptance to the stored image.",
    "wait": "Seconds from acceptance to the start of service.",
    "service": "Seconds from the start of service to the stored image.",
}
SUMMARIES = {  # metric → count, sum, help
    "clip_score": ("scored", "score", "CLIPScore of images."),
    "predicted_quality": ("judged", "quality", "Relative quality predicted of what was done, at the level used."),
    "quality_lost": ("judged", "quality_lost", "Shortfall of that quality from 1."),
}

Key = tuple[str, str]


class Sums:
    """The sums by level and service class, read once.

    Args:
        family: names the levels that are told though nothing was drawn at them yet.
    """

    def __init__(self, session: Session, family: Family) -> None:
        keys, amounts = [TALLY.c[name] for name in BY], [*COUNTS, *SUMS]
        added = (func.sum(TALLY.c[name]) for name in amounts)
        found = session.execute(select(*keys, *added).where(*ALL_TIME).group_by(*keys))
        self._rows: dict[Key, dict[str, float]] = defaultdict(lambda: dict.fromkeys(amounts, 0.0))
        for level, service_class, *values in found:
            self._rows[level, service_class] = dict(zip(amounts, map(float, values), strict=True))
        classes = [str(each) for each in ServiceClass]
        drawn = {key for key in self._rows if key[0] != UNROUTED}
        self.keys = sorted({*product(family.levels, classes), *drawn})
        self.all_keys = sorted({*self.keys, *product([UNROUTED], classes)})
        self.counts = _counts(session)

    def metrics(self) -> Iterator[Metric]:
        """Each metric with all its label sets."""
        accepted = CounterMetricFamily("argus_requests_accepted", "Requests accepted.", labels=["service_class"])
        for service_class in ServiceClass:
            of_class = (row["accepted"] for key, row in self._rows.items() if key[1] == service_class)
            accepted.add_metric([service_class], sum(of_class))
        yield accepted
        yield self._counter("requests_final", "Requests that ended; one that is retried counts again.", "state", ENDS)
        violations = "Requests that failed, or were stored after their deadline."
        yield self._counter("slo_violations", violations, "reason", ("failed", "late"))
        yield self._plain("images", "Images stored.", "images")
        yield self._plain("device_seconds", "Seconds of a device that images took.", "device_s")
        for name, (count, total, help) in SUMMARIES.items():
            yield self._summary(name, count, total, help)
        for measure, help in HISTOGRAMS.items():
            yield self._histogram(measure, help)

    def _counter(self, name: str, help: str, label: str, values: Sequence[str]) -> Metric:
        metric = CounterMetricFamily(f"argus_{name}", help, labels=[label, *BY])
        for key, value in product(self.all_keys, values):
            metric.add_metric([value, *key], self._rows[key][value])
        return metric

    def _plain(self, name: str, help: str, amount: str) -> Metric:
        metric = CounterMetricFamily(f"argus_{name}", help, labels=BY)
        for key in self.keys:
            metric.add_metric(key, self._rows[key][amount])
        return metric

    def _summary(self, name: str, count: str, total: str, help: str) -> Metric:
        metric = SummaryMetricFamily(f"argus_{name}", help, labels=BY)
        for key in self.keys:
            metric.add_metric(key, int(self._rows[key][count]), self._rows[key][total])
        return metric

    def _histogram(self, measure: str, help: str) -> Metric:
        metric = HistogramMetricFamily(f"argus_{measure}_seconds", help, labels=BY)
        for key in self.keys:
            metric.add_metric(key, self.counts.buckets(measure, key), self._rows[key][f"{measure}_s"])
        return metric


class _Counts:
    """How many requests took how long, by the bounds that are told."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._told = [place for place, bound in enumerate(bounds) if float(f"{bound:e}".partition("e")[0]) in TOLD]
        self._found: dict[tuple[str, Key], list[int]] = defaultdict(lambda: [0] * (len(bounds) + 1))

    def add(self, measure: str, key: Key, bucket: int, n: int) -> None:
        """`bucket` is the number of bounds that are not above it."""
        self._found[measure, key][bucket] += n

    def buckets(self, measure: str, key: Key) -> list[tuple[str, float]]:
        """Upper bounds as Prometheus writes them, and how many are not above each."""
        upto = list(accumulate(self._found[measure, key]))
        told = [(str(self._bounds[place]), float(upto[place])) for place in self._told]
        return [*told, ("+Inf", float(upto[-1]))]


def _counts(session: Session) -> _Counts:
    counts = _Counts(session.scalar(text("SELECT tally_bounds()")))
    of = [BUCKETS.c.measure, *(TALLY.c[name] for name in BY), BUCKETS.c.bucket]
    query = select(*of, func.sum(BUCKETS.c.n)).join(TALLY).where(*ALL_TIME).group_by(*of)
    rows: Iterable[Any] = session.execute(query)
    for measure, level, service_class, bucket, n in rows:
        counts.add(measure, (level, service_class), bucket, int(n))
    return counts
