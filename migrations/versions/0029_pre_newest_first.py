"""Requests in the order in which they came: lists of all, the newest first, and demand, which is of the newest too."""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX ix_request_newest ON request (accepted_at DESC, id DESC)")
    op.execute("DROP INDEX ix_request_accepted")


def downgrade() -> None:
    op.execute("CREATE INDEX ix_request_accepted ON request (family, accepted_at DESC)")
    op.execute("DROP INDEX ix_request_newest")
