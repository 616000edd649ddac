"""Since when nobody waits for a job any more whose client was to be answered with its images, and hung up."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE job ADD COLUMN abandoned_at timestamptz")
    op.execute("CREATE INDEX ix_job_abandoned ON job (abandoned_at) WHERE abandoned_at IS NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE job DROP COLUMN abandoned_at")
