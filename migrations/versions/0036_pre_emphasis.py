"""The weights of words in a request's prompts; the version before writes none, and draws plain text."""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE request ADD COLUMN emphasis text")


def downgrade() -> None:
    op.execute("ALTER TABLE request DROP COLUMN emphasis")
