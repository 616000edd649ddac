"""What was set aside because its tenant's share was taken; and what waits of each tenant, found at once."""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE request ADD COLUMN over_share boolean NOT NULL DEFAULT false")
    op.execute(
        "CREATE INDEX ix_request_turn ON request (family, tenant, level, deadline_at, id) WHERE state = 'queued'"
    )


def downgrade() -> None:
    op.execute("DROP INDEX ix_request_turn")
    op.execute("ALTER TABLE request DROP COLUMN over_share")
