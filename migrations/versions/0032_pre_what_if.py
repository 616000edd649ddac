"""What-if: what the dashboard asks the simulator."""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE TABLE what_if (id uuid PRIMARY KEY, policy text NOT NULL, workers jsonb NOT NULL, "
        "asked_at timestamptz NOT NULL DEFAULT now(), began_at timestamptz, ended_at timestamptz, found jsonb, "
        "error text)"
    )


def downgrade() -> None:
    op.execute("DROP TABLE what_if")
