"""When files of OpenAI's clients expire; the version before keeps them until they are deleted."""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE stored_file ADD COLUMN expires_at timestamptz")
    op.execute("ALTER TABLE batch ADD COLUMN output_expires_s integer")
    op.execute("CREATE INDEX ix_stored_file_expires ON stored_file (expires_at) WHERE expires_at IS NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE batch DROP COLUMN output_expires_s")
    op.execute("ALTER TABLE stored_file DROP COLUMN expires_at")
