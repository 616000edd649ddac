"""Results that Argus writes to a place of the job's choice. A job that is retried is written once more."""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE TABLE job_output (job_id uuid PRIMARY KEY REFERENCES job ON DELETE CASCADE, url text NOT NULL, "
    "position int NOT NULL DEFAULT -1, written int NOT NULL DEFAULT 0, failures int NOT NULL DEFAULT 0, error text, "
    "next_at timestamptz NOT NULL DEFAULT now(), ended_at timestamptz)",
    "CREATE INDEX ix_job_output_next_at ON job_output (next_at) WHERE ended_at IS NULL",
    """
CREATE FUNCTION write_again_of_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE job_output SET ended_at = NULL, position = -1, written = 0, next_at = now()
    WHERE job_id = NEW.job_id AND ended_at IS NOT NULL;
    RETURN NULL;
END $$
""",
    "CREATE TRIGGER write_again_of_job AFTER UPDATE ON request FOR EACH ROW WHEN (NEW.state = 'accepted' "
    "AND OLD.state IN ('failed', 'cancelled')) EXECUTE FUNCTION write_again_of_job()",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER write_again_of_job ON request")
    op.execute("DROP FUNCTION write_again_of_job")
    op.execute("DROP TABLE job_output")
