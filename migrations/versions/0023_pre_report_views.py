"""The report views: one row a request, audit and minute from rows; by job, level, model, tenant and hour from sums.

All leave out what Argus draws for itself (audits), but `report_audit`. Columns of earlier versions stay. What each view
and column means says `migrations/report_comments.py`. `argus_report` may read the views and nothing else.
"""

from importlib import import_module

from alembic import op

from migrations.statements import comment_views

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

SCALE = import_module("migrations.versions.0010_indexes_of_scale")
FIRST = import_module("migrations.versions.0002_report_views")
SCORE = f"coalesce(r.score, CASE WHEN r.stored_at IS NOT NULL THEN {SCALE.NEWEST} END)"
MORE = """, r.qualities, r.tenant,
       (SELECT a.model FROM attempt a WHERE a.request_id = r.id AND a.number = r.attempts) AS model,
       coalesce((r.qualities ->> r.level)::float, r.predicted_quality) AS quality,
       date_trunc('hour', r.accepted_at, 'UTC') AS hour
"""
REQUESTS = SCALE.REQUESTS.format(score=SCORE, more=MORE) + "WHERE j.source <> 'audit'"

JOBS = """
VIEW report_job AS
SELECT j.id, j.tenant, j.family, j.source, j.service_class, j.title, j.created_at, j.size AS requests,
       coalesce(t.done, 0) AS done, coalesce(t.failed, 0) AS failed, coalesce(t.cancelled, 0) AS cancelled,
       greatest(0, j.size - coalesce(t.done + t.failed + t.cancelled, 0)) AS open,
       coalesce(t.failed + t.late, 0) AS violations, coalesce(t.images, 0) AS images,
       t.latency_s / nullif(t.done, 0) AS latency_mean_s, t.latency_max_s, t.last_stored_at,
       t.quality / nullif(t.judged, 0) AS quality_mean, t.quality_lost / nullif(t.judged, 0) AS quality_lost,
       t.score / nullif(t.scored, 0) AS score_mean, coalesce(t.device_s, 0) AS device_s
FROM job j LEFT JOIN tally_job t ON t.job_id = j.id WHERE j.source <> 'audit'
"""
MINUTES = """
VIEW report_minute AS
SELECT date_trunc('minute', accepted_at) AS minute, family, count(*) AS accepted, count(stored_at) AS stored,
       avg(violated::int) AS violation_rate, avg(score) AS score_mean,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_s) AS latency_p95_s
FROM report_request WHERE accepted_at > now() - interval '1 day' GROUP BY 1, 2
"""
AUDITS = """
VIEW report_audit AS
SELECT r.id, r.tenant, r.family, r.level, e.stored_at AS audited_at, r.score, e.score AS exact_score,
       coalesce((r.qualities ->> r.level)::float, r.predicted_quality) AS predicted_quality,
       r.score / nullif(e.score, 0) AS measured_quality
FROM job j JOIN request e ON e.job_id = j.id JOIN request r ON r.seed = e.seed AND r.prompt = e.prompt
    AND r.family = e.family AND r.width = e.width AND r.height = e.height AND r.steps = e.steps
    AND r.guidance = e.guidance AND r.negative_prompt = e.negative_prompt AND r.id <> e.id AND r.level <> e.level
WHERE j.source = 'audit' AND e.score IS NOT NULL AND r.score IS NOT NULL
"""
USAGE = """
VIEW report_usage AS
SELECT hour, tenant, family, level, nullif(model, '') AS model, nullif(device_type, '') AS device_type, service_class,
       accepted, done, failed, cancelled, failed + late AS violations, images, latency_s, wait_s, service_s, device_s,
       judged, quality, quality_lost, scored, score
FROM tally WHERE hour > '-infinity' AND NOT background
"""
# What an image takes at `exact` on each type of device, by pixel and step: measured here, audits among it.
EXACT = """
SELECT family, device_type, sum(device_s) / nullif(sum(pixel_steps), 0) AS seconds
FROM tally WHERE hour = '-infinity' AND level = 'exact' GROUP BY family, device_type
"""
GROUPED = """
VIEW {name} AS
WITH exact AS ({exact}), sums AS (
    SELECT {columns}, sum(t.accepted)::bigint AS accepted, sum(t.done + t.failed + t.cancelled)::bigint AS requests,
           sum(t.images)::bigint AS images, sum(t.failed)::bigint AS failed,
           sum(t.failed + t.late)::bigint AS violations,
           (sum(t.failed + t.late) / nullif(sum(t.done + t.failed), 0))::float AS violation_rate,
           sum(t.latency_s) / nullif(sum(t.done), 0) AS latency_mean_s,
           sum(t.service_s) / nullif(sum(t.done), 0) AS service_mean_s,
           sum(t.quality) / nullif(sum(t.judged), 0) AS quality_mean,
           sum(t.quality_lost) / nullif(sum(t.judged), 0) AS quality_lost,
           sum(t.score) / nullif(sum(t.scored), 0) AS score_mean, sum(t.scored)::bigint AS scored,
           sum(t.device_s) AS device_s, sum(t.pixel_steps * e.seconds - t.device_s) AS device_saved_s
    FROM tally t LEFT JOIN exact e USING (family, device_type) WHERE {where} GROUP BY {keys}
), counted AS (
    SELECT {columns}, b.bucket, sum(b.n) AS n
    FROM tally t JOIN tally_bucket b ON b.tally_id = t.id AND b.measure = 'latency'
    WHERE {where} GROUP BY {keys}, b.bucket
), ranked AS (
    SELECT *, sum(n) OVER (PARTITION BY {names} ORDER BY bucket) AS upto, sum(n) OVER (PARTITION BY {names}) AS total
    FROM counted
), quantiles AS (
    SELECT {names}, {quantiles} FROM ranked GROUP BY {names}
)
SELECT {first}, {quantile_names}, {rest} FROM sums LEFT JOIN quantiles USING ({names})
"""
QUANTILES = {"latency_p50_s": 0.5, "latency_p95_s": 0.95, "latency_p99_s": 0.99}
FIGURES = (
    *("violation_rate", "score_mean", "latency_mean_s", "service_mean_s", "quality_mean", "quality_lost", "scored"),
    *("failed", "violations", "device_s", "device_saved_s"),
)
ALL_TIME, BY_HOUR = "t.hour = '-infinity' AND NOT t.background", "t.hour > '-infinity' AND NOT t.background"
ENDED = " AND t.level <> 'unrouted'"
BY = {
    "report_level": ({"family": "t.family", "level": "t.level"}, ALL_TIME + ENDED),
    "report_model": ({"family": "t.family", "model": "t.model"}, ALL_TIME + " AND t.model <> ''"),
    "report_tenant": ({"tenant": "t.tenant", "family": "t.family"}, ALL_TIME),
    "report_hour": ({"hour": "t.hour", "family": "t.family"}, BY_HOUR),
}
PLANS = """
VIEW report_plan AS
SELECT epoch, family, created_at, policy, status, in_force, reason, seconds FROM plan
"""
WORKERS = """
VIEW report_worker AS
SELECT name, device, device_type, family, state, models, started_at, seen_at FROM worker
"""
VIEWS = ("request", "job", "minute", "audit", "usage", *("level", "model", "tenant", "hour"), "plan", "worker")
READERS = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'argus_report') THEN
        REVOKE SELECT ON ALL TABLES IN SCHEMA public FROM argus_report;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM argus_report;
        GRANT SELECT ON {views} TO argus_report;
    END IF;
END $$
"""
READERS_BEFORE = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'argus_report') THEN
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO argus_report;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO argus_report;
    END IF;
END $$
"""


def grouped(name: str) -> str:
    """The definition of a view that sums over everything but its keys."""
    keys, where = BY[name]
    columns = ", ".join(f"{expression} AS {key}" for key, expression in keys.items())
    counts = ("accepted", "requests", "images") if "tenant" in keys or "hour" in keys else ("requests", "images")
    reached = "min(tally_within(bucket, ({q} * total - (upto - n)) / n)) FILTER (WHERE upto >= {q} * total) AS {name}"
    return GROUPED.format(
        name=name,
        exact=EXACT,
        columns=columns,
        where=where,
        keys=", ".join(keys.values()),
        names=", ".join(keys),
        quantiles=", ".join(reached.format(q=q, name=name) for name, q in QUANTILES.items()),
        quantile_names=", ".join(QUANTILES),
        first=", ".join((*keys, *counts)),
        rest=", ".join(FIGURES),
    )


def upgrade() -> None:
    for name in ("report_minute", "report_level"):
        op.execute(f"DROP VIEW {name}")
    op.execute(f"CREATE OR REPLACE {REQUESTS}")
    for view in (JOBS, MINUTES, AUDITS, USAGE, PLANS, WORKERS, *map(grouped, BY)):
        op.execute(f"CREATE {view}")
    comment_views("0023")
    op.execute(READERS.format(views=", ".join(f"report_{view}" for view in VIEWS)))


def downgrade() -> None:
    op.execute(f"DROP VIEW {', '.join(f'report_{view}' for view in reversed(VIEWS))}")
    op.execute(f"CREATE {SCALE.REQUESTS.format(score=SCORE, more=', r.qualities')}")
    for view in (FIRST.LEVELS, FIRST.MINUTES):
        op.execute(view)
    op.execute(READERS_BEFORE)
