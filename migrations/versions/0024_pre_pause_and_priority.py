"""Requests that are paused, accepted again, and drawn in another order; the index of background work has that order.
The router finds interactive requests first.

The version before reads what was the old index's by the new one, and sorts.
"""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

IDLE = "state = 'queued' AND NOT ((service_class = 'interactive' OR urgent) AND NOT deadline_unreachable)"


def upgrade() -> None:
    op.execute(
        "ALTER TABLE request ADD COLUMN paused_at timestamptz, ADD COLUMN priority int NOT NULL DEFAULT 0, "
        "ADD COLUMN attempts_before int NOT NULL DEFAULT 0"
    )
    op.execute("ALTER TABLE job ADD COLUMN priority int NOT NULL DEFAULT 0")
    op.execute(
        "CREATE INDEX ix_request_idle ON request (family, level, service_class DESC, priority DESC, deadline_at, id) "
        f"WHERE {IDLE}"
    )
    op.execute("DROP INDEX ix_request_background")
    op.execute(
        "CREATE INDEX ix_request_unrouted ON request (family, service_class DESC, accepted_at, position) "
        "WHERE state = 'accepted'"
    )


def downgrade() -> None:
    op.execute(
        "CREATE INDEX ix_request_background ON request (family, level, service_class DESC, deadline_at, id) "
        f"WHERE {IDLE}"
    )
    op.execute("DROP INDEX ix_request_idle")
    op.execute("DROP INDEX ix_request_unrouted")
    op.execute("UPDATE request SET state = 'accepted' WHERE state = 'paused'")
    op.execute("ALTER TABLE job DROP COLUMN priority")
    op.execute("ALTER TABLE request DROP COLUMN paused_at, DROP COLUMN priority, DROP COLUMN attempts_before")
