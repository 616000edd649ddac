"""Modes in which one image is drawn by several devices; the version before draws it in serial steps."""

from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE request ADD COLUMN parallel varchar(16) NOT NULL DEFAULT 'auto'")
    op.execute("ALTER TABLE attempt ADD COLUMN parallel jsonb")


def downgrade() -> None:
    op.execute("ALTER TABLE attempt DROP COLUMN parallel")
    op.execute("ALTER TABLE request DROP COLUMN parallel")
