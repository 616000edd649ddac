"""The level that a client of AUTOMATIC1111's API chose: there, options are kept by the server."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE TABLE client_checkpoint (client text PRIMARY KEY, level varchar(64) NOT NULL, "
        "chosen_at timestamptz NOT NULL DEFAULT now())"
    )
    op.execute("CREATE INDEX ix_client_checkpoint_chosen_at ON client_checkpoint (chosen_at)")


def downgrade() -> None:
    op.execute("DROP TABLE client_checkpoint")
