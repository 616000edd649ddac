"""The LoRAs that a request names; the version before writes none, and cannot read a family file that has some."""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE request ADD COLUMN loras text")


def downgrade() -> None:
    op.execute("ALTER TABLE request DROP COLUMN loras")
