"""Images that requests begin with; the version before knows none, and draws from noise what it finds of these."""

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE input_image (
            id uuid PRIMARY KEY,
            tenant varchar(40) NOT NULL DEFAULT 'default',
            key text NOT NULL,
            sha256 varchar(64) NOT NULL,
            bytes integer NOT NULL,
            width integer NOT NULL,
            height integer NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            used_at timestamptz NOT NULL DEFAULT now(),
            UNIQUE (tenant, sha256)
        )
    """)
    op.execute("CREATE INDEX ix_input_image_used ON input_image (used_at)")
    for column in ("source_id", "mask_id"):
        op.execute(f"ALTER TABLE request ADD COLUMN {column} uuid REFERENCES input_image (id)")
        op.execute(f"CREATE INDEX ix_request_{column} ON request ({column}) WHERE {column} IS NOT NULL")
    op.execute("ALTER TABLE request ADD COLUMN strength double precision")


def downgrade() -> None:
    for column in ("source_id", "mask_id", "strength"):
        op.execute(f"ALTER TABLE request DROP COLUMN {column}")
    op.execute("DROP TABLE input_image")
