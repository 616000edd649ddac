"""Batch work that waits for the router waits in the order in which it is drawn."""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DROP INDEX ix_request_unrouted")
    op.execute(
        "CREATE INDEX ix_request_unrouted ON request (family, service_class, priority DESC, deadline_at, position) "
        "WHERE state = 'accepted'"
    )


def downgrade() -> None:
    op.execute("DROP INDEX ix_request_unrouted")
    op.execute(
        "CREATE INDEX ix_request_unrouted ON request (family, service_class DESC, accepted_at, position) "
        "WHERE state = 'accepted'"
    )
