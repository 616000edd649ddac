"""An assignment says in which format it is, so that a worker passes over one that it would misread.

Rows of the version before have the first. Names of migrations say from here on which half of an upgrade they belong to
(docs/decisions/0066).
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE assignment ADD COLUMN format smallint NOT NULL DEFAULT 1")


def downgrade() -> None:
    op.execute("ALTER TABLE assignment DROP COLUMN format")
