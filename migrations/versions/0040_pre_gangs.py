"""Workers that draw one image together; those of the version before are asked, and do not answer."""

from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE gang (
            attempt_id uuid PRIMARY KEY REFERENCES attempt (id) ON DELETE CASCADE,
            leader text NOT NULL,
            mode varchar(16) NOT NULL,
            program text NOT NULL,
            asked text[] NOT NULL,
            willing text[] NOT NULL DEFAULT '{}',
            unwilling text[] NOT NULL DEFAULT '{}',
            members text[],
            address text,
            created_at timestamptz NOT NULL DEFAULT now()
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE gang")
