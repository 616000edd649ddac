"""Batch work whose window would be missed goes with the interactive requests; waiting requests have an index."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE request ADD COLUMN urgent boolean NOT NULL DEFAULT false")
    op.execute(
        "CREATE INDEX ix_request_waiting ON request (family, deadline_at, id) INCLUDE (level) WHERE state = 'queued'"
    )


def downgrade() -> None:
    op.execute("DROP INDEX ix_request_waiting")
    op.execute("ALTER TABLE request DROP COLUMN urgent")
