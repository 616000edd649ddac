"""What was written where another prompt was drawn, how much of it was not read, and the client's own id of a request.

Rows of the version before have none of it.
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
COLUMNS = {
    "custom_id": "text",
    "prompt_asked": "text",
    "negative_prompt_asked": "text",
    "truncated_tokens": "integer",
    "negative_truncated_tokens": "integer",
}


def upgrade() -> None:
    op.execute("ALTER TABLE request " + ", ".join(f"ADD COLUMN {name} {kind}" for name, kind in COLUMNS.items()))


def downgrade() -> None:
    op.execute("ALTER TABLE request " + ", ".join(f"DROP COLUMN {name}" for name in COLUMNS))
