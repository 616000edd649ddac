"""`hopeless` becomes `deadline_unreachable`: it says what it means.

The view `report_request` keeps the old column for one version and has the new one at its end.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

REQUESTS = """
VIEW report_request AS
SELECT r.id, r.job_id, r.position, j.source, r.family, r.service_class, r.state, r.level_asked, r.level, r.epoch,
       r.worker, r.attempts, r.{column} AS hopeless, r.seed, r.prompt, r.predicted_quality, r.min_quality, r.error_code,
       r.accepted_at, r.stored_at, r.deadline_at,
       extract(epoch FROM r.stored_at - r.accepted_at)::float AS latency_s,
       extract(epoch FROM r.started_at - r.accepted_at)::float AS wait_s,
       extract(epoch FROM r.denoised_at - r.started_at)::float AS denoise_s,
       extract(epoch FROM r.stored_at - r.denoised_at)::float AS store_s,
       extract(epoch FROM r.deadline_at - r.accepted_at)::float AS slo_s,
       (r.state = 'failed' OR (r.state <> 'cancelled' AND coalesce(r.stored_at, now()) > r.deadline_at)) AS violated,
       s.value AS score{more}
FROM request r
JOIN job j ON j.id = r.job_id
LEFT JOIN LATERAL (
    SELECT i.id FROM image i WHERE i.request_id = r.id ORDER BY i.created_at DESC LIMIT 1
) i ON true
LEFT JOIN LATERAL (
    SELECT value FROM score WHERE score.image_id = i.id ORDER BY created_at DESC LIMIT 1
) s ON true
"""


def upgrade() -> None:
    op.alter_column("request", "hopeless", new_column_name="deadline_unreachable")
    view = REQUESTS.format(column="deadline_unreachable", more=", r.deadline_unreachable")
    op.execute(f"CREATE OR REPLACE {view}")


def downgrade() -> None:
    dependents = {name: _definition(name) for name in ("report_level", "report_minute")}
    for name in (*dependents, "report_request"):
        op.execute(f"DROP VIEW {name}")
    op.alter_column("request", "deadline_unreachable", new_column_name="hopeless")
    op.execute(f"CREATE {REQUESTS.format(column='hopeless', more='')}")
    for name, definition in dependents.items():
        op.execute(f"CREATE VIEW {name} AS {definition}")


def _definition(view: str) -> str:
    return str(op.get_bind().exec_driver_sql(f"SELECT pg_get_viewdef('{view}'::regclass)").scalar_one())
