"""Predicted quality by level on each request; open attempts found by worker."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("request", sa.Column("qualities", postgresql.JSONB(), nullable=True))
    op.create_index("ix_attempt_open", "attempt", ["worker"], postgresql_where="outcome is null")


def downgrade() -> None:
    op.drop_index("ix_attempt_open", "attempt")
    op.drop_column("request", "qualities")
