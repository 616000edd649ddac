"""What became of requests, summed: kept by triggers and `tally_fold()` of the database, read by the `report_*` views
and `/metrics` (docs/decisions/0105).

::

    tally_event ──tally_fold()──▶ tally 1─n tally_bucket,  tally_job 1─1 job

Nothing here depends on rows of requests: a job that is purged stays counted; only its own sums go with it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from core.states import Base

KEYS = ("tenant", "background", "family", "level", "model", "device_type", "service_class")
COUNTS = ("accepted", "done", "failed", "cancelled", "late", "images", "judged", "scored")
SUMS = ("latency_s", "wait_s", "service_s", "device_s", "pixel_steps", "quality", "quality_lost", "score")


def _keys() -> list[Column[object]]:
    """Whose, and how it was drawn; `background`: Argus's own work, audits."""
    return [
        Column("tenant", String(64), nullable=False),
        Column("background", Boolean, nullable=False),
        Column("family", Text, nullable=False),
        Column("level", String(64), nullable=False),  # or unrouted
        Column("model", String(64), nullable=False),  # empty: nothing drew it
        Column("device_type", Text, nullable=False),
        Column("service_class", String(16), nullable=False),
    ]


#: What happened to a request (to `requests` of them, when accepted), until it is folded.
EVENTS = Table(
    "tally_event",
    Base.metadata,
    Column("job_id", Uuid, nullable=False),
    Column("accepted_at", DateTime(timezone=True), nullable=False),
    *_keys(),
    Column("kind", String(16), nullable=False),  # accepted, done, failed, cancelled, redrawn, scored
    Column("requests", BigInteger, nullable=False, server_default=text("1")),
    Column("late", Boolean, nullable=False, server_default=text("false")),
    *(Column(name, Float) for name in SUMS if name != "quality_lost"),
)

#: Sums of an hour of acceptance (UTC), and of all time where `hour` is -infinity.
TALLY = Table(
    "tally",
    Base.metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("hour", DateTime(timezone=True), nullable=False),
    *_keys(),
    *(Column(name, BigInteger, nullable=False, server_default=text("0")) for name in COUNTS),
    *(Column(name, Float, nullable=False, server_default=text("0")) for name in SUMS),
    UniqueConstraint("hour", *KEYS, name="tally_hour_key"),
)

#: How many requests of a tally took how long: `bucket` counts the bounds (`tally_bounds()`) that are not above it.
BUCKETS = Table(
    "tally_bucket",
    Base.metadata,
    Column("tally_id", BigInteger, ForeignKey("tally.id", ondelete="CASCADE"), primary_key=True),
    Column("measure", String(16), primary_key=True),  # latency, wait, service
    Column("bucket", Integer, primary_key=True),
    Column("n", BigInteger, nullable=False),
)

#: Sums of a job.
JOBS = Table(
    "tally_job",
    Base.metadata,
    Column("job_id", Uuid, ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
    *(Column(name, BigInteger, nullable=False, server_default=text("0")) for name in COUNTS),
    *(Column(name, Float, nullable=False, server_default=text("0")) for name in SUMS),
    Column("latency_max_s", Float),
    Column("last_stored_at", DateTime(timezone=True)),
)
