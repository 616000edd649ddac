"""What faults leave behind: attempts that had a device to themselves, images whose file is gone.

Only adds, so that processes of the version before go on beside those of this one.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE attempt ADD COLUMN alone boolean NOT NULL DEFAULT false")
    op.execute("ALTER TABLE image ADD COLUMN missing_at timestamptz")
    op.execute("ALTER TABLE image ADD COLUMN redraw_id uuid")
    op.execute("CREATE INDEX ix_image_missing ON image (missing_at) WHERE missing_at IS NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE image DROP COLUMN redraw_id, DROP COLUMN missing_at")
    op.execute("ALTER TABLE attempt DROP COLUMN alone")
