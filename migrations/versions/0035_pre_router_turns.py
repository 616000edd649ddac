"""What waits for the router is found by tenant: the router takes turns."""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DROP INDEX ix_request_unrouted")
    op.execute(
        "CREATE INDEX ix_request_unrouted ON request "
        "(family, service_class, tenant, priority DESC, deadline_at, position) WHERE state = 'accepted'"
    )


def downgrade() -> None:
    op.execute("DROP INDEX ix_request_unrouted")
    op.execute(
        "CREATE INDEX ix_request_unrouted ON request (family, service_class, priority DESC, deadline_at, position) "
        "WHERE state = 'accepted'"
    )
