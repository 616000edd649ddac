"""By when a request has to have begun, where that matters; the version before writes none."""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE request ADD COLUMN start_by timestamptz")
    op.execute(
        "CREATE INDEX ix_request_start_by ON request (start_by) "
        "WHERE start_by IS NOT NULL AND state IN ('accepted', 'queued')"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE request DROP COLUMN start_by")
