"""Each statement that runs often finds its rows by an index, also with millions of requests.

Waiting requests have an index by level, split by whether they have a latency target: a claim reads the first few of
each level and none that are not for it. Indexes over all requests are kept few, because each move of a request writes
all of them; those with a condition are written only while it holds.

What is known of cached latents beside the vectors (how much each has saved, how many bytes there are) moves to tables
of its own: a use that changed an indexed column of `cached_latent` would insert into its vector index again. Triggers
keep them, so that workers of the version before count too; their column `uses` is no longer read.

A request keeps the score of its newest image, so that a report reads each request once; where it has none yet (rows
and scorers of the version before), the view `report_request` looks it up. The view has the predicted qualities too.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

FOREGROUND = "(service_class = 'interactive' OR urgent) AND NOT deadline_unreachable"
INDEXES = {
    "ix_request_waiting": f"request (family, level, deadline_at, id) WHERE state = 'queued' AND {FOREGROUND}",
    "ix_request_background": "request (family, level, service_class DESC, deadline_at, id) "
    f"WHERE state = 'queued' AND NOT ({FOREGROUND})",
    "ix_request_owed": "request (family, accepted_at, id) WHERE state = 'queued' AND deadline_unreachable",
    "ix_request_accepted": "request (family, accepted_at DESC)",
    "ix_request_accepted_range": "request USING brin (accepted_at) WITH (autosummarize = on)",
    "ix_request_stored": "request (stored_at) WHERE stored_at IS NOT NULL",
    "ix_request_unscored": "request (stored_at) WHERE scored_at IS NULL AND stored_at IS NOT NULL",
    "ix_request_twin": "request (seed, md5(prompt)) WHERE level_asked <> 'auto'",
    "ix_attempt_worker_ended": "attempt (worker, ended_at)",
    "ix_image_level_created": "image (level, created_at)",
    "ix_image_attempt_id": "image (attempt_id)",
}
REPLACED = {
    "ix_request_waiting": "request (family, deadline_at, id) INCLUDE (level) WHERE state = 'queued'",
    "ix_request_accepted_at": "request (accepted_at)",
    "ix_request_stored_at": "request (stored_at)",
    "ix_assignment_worker": "assignment (worker)",
}
# Rows that change several times each: room for the new version beside the old, and cleaned before they are many.
STORAGE = {
    "request": {
        "fillfactor": 90,
        "autovacuum_vacuum_scale_factor": 0.02,
        "autovacuum_analyze_scale_factor": 0.02,
        "autovacuum_vacuum_cost_delay": 0,
    },
    "attempt": {"fillfactor": 90, "autovacuum_vacuum_scale_factor": 0.02, "autovacuum_analyze_scale_factor": 0.02},
    "worker": {
        "fillfactor": 50,
        "autovacuum_vacuum_scale_factor": 0.0,
        "autovacuum_vacuum_threshold": 500,
        "autovacuum_vacuum_cost_delay": 0,
    },
}
LATENTS = """
CREATE TABLE latent_use (
    latent_id bigint PRIMARY KEY,
    steps_saved bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 80);
CREATE INDEX ix_latent_use_coldest ON latent_use (steps_saved, latent_id);
INSERT INTO latent_use SELECT id, uses::bigint * k FROM cached_latent;

CREATE TABLE latent_total (id integer PRIMARY KEY, entries bigint NOT NULL, bytes bigint NOT NULL)
    WITH (fillfactor = 10);
INSERT INTO latent_total SELECT 1, count(*), coalesce(sum(bytes), 0) FROM cached_latent;

CREATE FUNCTION count_latents() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO latent_use (latent_id) SELECT id FROM changed;
        UPDATE latent_total SET entries = entries + n, bytes = latent_total.bytes + size
        FROM (SELECT count(*) AS n, coalesce(sum(c.bytes), 0) AS size FROM changed c) AS more WHERE id = 1;
    ELSIF TG_OP = 'DELETE' THEN
        DELETE FROM latent_use USING changed WHERE latent_id = changed.id;
        UPDATE latent_total SET entries = entries - n, bytes = latent_total.bytes - size
        FROM (SELECT count(*) AS n, coalesce(sum(c.bytes), 0) AS size FROM changed c) AS fewer WHERE id = 1;
    ELSE
        DELETE FROM latent_use;
        INSERT INTO latent_total VALUES (1, 0, 0) ON CONFLICT (id) DO UPDATE SET entries = 0, bytes = 0;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER cached_latent_added AFTER INSERT ON cached_latent
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_latents();
CREATE TRIGGER cached_latent_removed AFTER DELETE ON cached_latent
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_latents();
CREATE TRIGGER cached_latent_emptied AFTER TRUNCATE ON cached_latent
    FOR EACH STATEMENT EXECUTE FUNCTION count_latents();
"""

REQUESTS = """
VIEW report_request AS
SELECT r.id, r.job_id, r.position, j.source, r.family, r.service_class, r.state, r.level_asked, r.level, r.epoch,
       r.worker, r.attempts, r.deadline_unreachable AS hopeless, r.seed, r.prompt, r.predicted_quality, r.min_quality,
       r.error_code, r.accepted_at, r.stored_at, r.deadline_at,
       extract(epoch FROM r.stored_at - r.accepted_at)::float AS latency_s,
       extract(epoch FROM r.started_at - r.accepted_at)::float AS wait_s,
       extract(epoch FROM r.denoised_at - r.started_at)::float AS denoise_s,
       extract(epoch FROM r.stored_at - r.denoised_at)::float AS store_s,
       extract(epoch FROM r.deadline_at - r.accepted_at)::float AS slo_s,
       (r.state = 'failed' OR (r.state <> 'cancelled' AND coalesce(r.stored_at, now()) > r.deadline_at)) AS violated,
       {score} AS score, r.deadline_unreachable{more}
FROM request r
JOIN job j ON j.id = r.job_id
"""
NEWEST = """(
    SELECT value FROM score WHERE score.image_id = (
        SELECT i.id FROM image i WHERE i.request_id = r.id ORDER BY i.created_at DESC LIMIT 1
    ) ORDER BY created_at DESC LIMIT 1
)"""
READERS = ("report_level", "report_minute")


def upgrade() -> None:
    for name in REPLACED:
        op.execute(f"DROP INDEX {name}")
    for name, on in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON {on}")
    for table, values in STORAGE.items():
        op.execute(f"ALTER TABLE {table} SET ({', '.join(f'{key} = {value}' for key, value in values.items())})")
    op.execute(LATENTS)
    op.execute("ALTER TABLE request ADD COLUMN score double precision")
    view = REQUESTS.format(
        score=f"coalesce(r.score, CASE WHEN r.stored_at IS NOT NULL THEN {NEWEST} END)", more=", r.qualities"
    )
    op.execute(f"CREATE OR REPLACE {view}")


def downgrade() -> None:
    definitions = {name: _definition(name) for name in READERS}
    for name in (*READERS, "report_request"):
        op.execute(f"DROP VIEW {name}")
    op.execute("ALTER TABLE request DROP COLUMN score")
    op.execute(f"CREATE {REQUESTS.format(score=NEWEST, more='')}")
    for name, definition in definitions.items():
        op.execute(f"CREATE VIEW {name} AS {definition}")
    for event in ("added", "removed", "emptied"):
        op.execute(f"DROP TRIGGER cached_latent_{event} ON cached_latent")
    op.execute("DROP FUNCTION count_latents")
    op.execute("UPDATE cached_latent SET uses = steps_saved / greatest(k, 1) FROM latent_use WHERE latent_id = id")
    op.execute("DROP TABLE latent_use")
    op.execute("DROP TABLE latent_total")
    for table, values in STORAGE.items():
        op.execute(f"ALTER TABLE {table} RESET ({', '.join(values)})")
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    for name, on in REPLACED.items():
        op.execute(f"CREATE INDEX {name} ON {on}")


def _definition(view: str) -> str:
    return str(op.get_bind().exec_driver_sql(f"SELECT pg_get_viewdef('{view}'::regclass)").scalar_one())
