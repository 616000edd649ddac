"""What a client called a submission, with the job it made: so that one that is sent again makes no second job."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE TABLE idempotency_key (client text, key text, digest varchar(64) NOT NULL, job_id uuid NOT NULL, "
        "created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (client, key))"
    )
    op.execute("CREATE INDEX ix_idempotency_key_created_at ON idempotency_key (created_at)")


def downgrade() -> None:
    op.execute("DROP TABLE idempotency_key")
