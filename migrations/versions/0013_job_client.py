"""Who sent a job: so that one client cannot take all that may wait."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE job ADD COLUMN client text")


def downgrade() -> None:
    op.execute("ALTER TABLE job DROP COLUMN client")
