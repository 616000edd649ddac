"""Files that clients upload, and batches made of them: OpenAI's `/v1/files` and `/v1/batches`."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE TABLE stored_file (id uuid PRIMARY KEY, client text NOT NULL, purpose varchar(16) NOT NULL, "
        "filename text NOT NULL, bytes bigint NOT NULL, batch_id uuid, created_at timestamptz NOT NULL DEFAULT now())"
    )
    op.execute("CREATE INDEX ix_stored_file_created ON stored_file (created_at, id)")
    op.execute(
        "CREATE TABLE file_part (file_id uuid REFERENCES stored_file ON DELETE CASCADE, number int, "
        "content bytea NOT NULL, PRIMARY KEY (file_id, number))"
    )
    op.execute(
        "CREATE TABLE batch (id uuid PRIMARY KEY, client text NOT NULL, input_file_id uuid NOT NULL, metadata jsonb, "
        "status varchar(16) NOT NULL, errors jsonb, job_id uuid REFERENCES job ON DELETE SET NULL, "
        "total int NOT NULL DEFAULT 0, completed int NOT NULL DEFAULT 0, failed int NOT NULL DEFAULT 0, "
        "lines_read int NOT NULL DEFAULT 0, bytes_read bigint NOT NULL DEFAULT 0, "
        "output_file_id uuid, error_file_id uuid, created_at timestamptz NOT NULL DEFAULT now(), "
        "expires_at timestamptz NOT NULL, in_progress_at timestamptz, finalizing_at timestamptz, "
        "completed_at timestamptz, failed_at timestamptz, expired_at timestamptz, cancelling_at timestamptz, "
        "cancelled_at timestamptz)"
    )
    op.execute("CREATE INDEX ix_batch_created ON batch (created_at, id)")
    op.execute(
        "CREATE INDEX ix_batch_open ON batch (created_at) WHERE status IN ('validating', 'in_progress', 'cancelling')"
    )
    op.execute(
        "CREATE TABLE batch_line (batch_id uuid REFERENCES batch ON DELETE CASCADE, number int, "
        "custom_id text NOT NULL, body jsonb NOT NULL, first int NOT NULL, images int NOT NULL, error jsonb, "
        "PRIMARY KEY (batch_id, number))"
    )


def downgrade() -> None:
    for table in ("batch_line", "batch", "file_part", "stored_file"):
        op.execute(f"DROP TABLE {table}")
