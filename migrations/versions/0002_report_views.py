"""Report views: what `argus report`, the dashboard and people with SQL read."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# One row a request. A violation is a request that failed, or was not stored by its deadline (still waiting or late).
REQUESTS = """
CREATE VIEW report_request AS
SELECT r.id, r.job_id, r.position, j.source, r.family, r.service_class, r.state, r.level_asked, r.level, r.epoch,
       r.worker, r.attempts, r.hopeless, r.seed, r.prompt, r.predicted_quality, r.min_quality, r.error_code,
       r.accepted_at, r.stored_at, r.deadline_at,
       extract(epoch FROM r.stored_at - r.accepted_at)::float AS latency_s,
       extract(epoch FROM r.started_at - r.accepted_at)::float AS wait_s,
       extract(epoch FROM r.denoised_at - r.started_at)::float AS denoise_s,
       extract(epoch FROM r.stored_at - r.denoised_at)::float AS store_s,
       extract(epoch FROM r.deadline_at - r.accepted_at)::float AS slo_s,
       (r.state = 'failed' OR (r.state <> 'cancelled' AND coalesce(r.stored_at, now()) > r.deadline_at)) AS violated,
       s.value AS score
FROM request r
JOIN job j ON j.id = r.job_id
LEFT JOIN LATERAL (
    SELECT i.id FROM image i WHERE i.request_id = r.id ORDER BY i.created_at DESC LIMIT 1
) i ON true
LEFT JOIN LATERAL (
    SELECT value FROM score WHERE score.image_id = i.id ORDER BY created_at DESC LIMIT 1
) s ON true
"""

LEVELS = """
CREATE VIEW report_level AS
SELECT family, level, count(*) AS requests, count(stored_at) AS images,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_s) AS latency_p50_s,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_s) AS latency_p95_s,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY latency_s) AS latency_p99_s,
       avg(denoise_s) AS denoise_mean_s, avg(violated::int) AS violation_rate,
       avg(score) AS score_mean, avg(predicted_quality) AS predicted_quality_mean
FROM report_request WHERE level IS NOT NULL GROUP BY family, level
"""

MINUTES = """
CREATE VIEW report_minute AS
SELECT date_trunc('minute', accepted_at) AS minute, family, count(*) AS accepted, count(stored_at) AS stored,
       avg(violated::int) AS violation_rate, avg(score) AS score_mean,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_s) AS latency_p95_s
FROM report_request GROUP BY 1, 2
"""


def upgrade() -> None:
    for view in (REQUESTS, LEVELS, MINUTES):
        op.execute(view)


def downgrade() -> None:
    for name in ("report_minute", "report_level", "report_request"):
        op.execute(f"DROP VIEW {name}")
