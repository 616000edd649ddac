"""Webhooks: whom to tell, what there is to tell, how telling went.

A request's end is noted by a trigger, by whichever statement and whichever version of Argus ends it, in that very
transaction. A job that is retried is told of once more. Jobs of the version before have no webhook.
"""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

TABLES = (
    "CREATE TABLE webhook_endpoint (tenant varchar(40) PRIMARY KEY, url text, host text, events text[] NOT NULL, "
    "secret text, secret_before text, secret_before_until timestamptz, gone_at timestamptz)",
    "CREATE TABLE webhook_event (id uuid PRIMARY KEY, tenant varchar(40) NOT NULL, type varchar(32) NOT NULL, "
    "job_id uuid, request_id uuid, url text NOT NULL, host text NOT NULL, payload text, "
    "state varchar(16) NOT NULL DEFAULT 'waiting', attempts smallint NOT NULL DEFAULT 0, "
    "created_at timestamptz NOT NULL DEFAULT now(), next_at timestamptz NOT NULL DEFAULT now(), ended_at timestamptz)",
    "CREATE INDEX ix_webhook_event_due ON webhook_event (host, next_at) WHERE state = 'waiting'",
    "CREATE INDEX ix_webhook_event_tenant ON webhook_event (tenant, created_at)",
    "CREATE INDEX ix_webhook_event_job ON webhook_event (job_id)",
    "CREATE INDEX ix_webhook_event_created ON webhook_event (created_at)",
    "CREATE TABLE webhook_delivery (id bigserial PRIMARY KEY, "
    "event_id uuid NOT NULL REFERENCES webhook_event ON DELETE CASCADE, at timestamptz NOT NULL DEFAULT now(), "
    "seconds double precision NOT NULL, status int, error text, answer text)",
    "CREATE INDEX ix_webhook_delivery_event_id ON webhook_delivery (event_id)",
    "CREATE TABLE webhook_host (host text PRIMARY KEY, failures int NOT NULL, resume_at timestamptz NOT NULL)",
)
SECRET = (
    "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'argus_report') THEN "
    "REVOKE ALL ON webhook_endpoint FROM argus_report; END IF; END $$"
)
RETRIED = """
CREATE FUNCTION tell_again_of_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE job SET webhook_told_at = NULL WHERE id = NEW.job_id AND webhook_told_at IS NOT NULL;
    RETURN NULL;
END $$
"""
FUNCTION = """
CREATE FUNCTION note_for_webhook() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhook_event (id, tenant, type, job_id, request_id, url, host)
    SELECT gen_random_uuid(), tenant, 'request.' || NEW.state, id, NEW.id, webhook ->> 'url', webhook ->> 'host'
    FROM job WHERE id = NEW.job_id AND webhook -> 'events' ? ('request.' || NEW.state);
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    for statement in (*TABLES, SECRET):
        op.execute(statement)
    op.execute("ALTER TABLE job ADD COLUMN webhook jsonb, ADD COLUMN webhook_told_at timestamptz")
    op.execute("CREATE INDEX ix_job_untold ON job (id) WHERE webhook IS NOT NULL AND webhook_told_at IS NULL")
    op.execute(
        "CREATE INDEX ix_request_open_job ON request (job_id) "
        "WHERE state IN ('accepted', 'queued', 'running', 'paused')"
    )
    op.execute(FUNCTION)
    op.execute(
        "CREATE TRIGGER note_for_webhook AFTER UPDATE ON request FOR EACH ROW "
        "WHEN (NEW.state <> OLD.state AND NEW.state IN ('done', 'failed')) EXECUTE FUNCTION note_for_webhook()"
    )
    op.execute(RETRIED)
    op.execute(
        "CREATE TRIGGER tell_again_of_job AFTER UPDATE ON request FOR EACH ROW WHEN (NEW.state = 'accepted' "
        "AND OLD.state IN ('failed', 'cancelled')) EXECUTE FUNCTION tell_again_of_job()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER tell_again_of_job ON request")
    op.execute("DROP FUNCTION tell_again_of_job")
    op.execute("DROP TRIGGER note_for_webhook ON request")
    op.execute("DROP FUNCTION note_for_webhook")
    op.execute("DROP INDEX ix_request_open_job")
    op.execute("ALTER TABLE job DROP COLUMN webhook, DROP COLUMN webhook_told_at")
    for table in ("webhook_host", "webhook_delivery", "webhook_event", "webhook_endpoint"):
        op.execute(f"DROP TABLE {table}")
