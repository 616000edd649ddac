"""Kinds of job with samplers of their own; the version before draws an image to begin with in place of each."""

from alembic import op

from migrations.statements import comment_views

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


FIDELITY = """
CREATE VIEW report_fidelity AS
SELECT r.id, r.tenant, r.family,
    coalesce(r.own_kind, CASE WHEN r.mask_id IS NULL THEN 'image-to-image' ELSE 'inpainting' END) AS kind,
    i.level, i.created_at AS stored_at, f.measure, f.value
FROM fidelity f JOIN image i ON i.id = f.image_id JOIN request r ON r.id = i.request_id JOIN job j ON j.id = r.job_id
WHERE j.source <> 'audit'
"""
READERS = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'argus_report') THEN
        GRANT SELECT ON report_fidelity TO argus_report;
    END IF;
END $$
"""


def upgrade() -> None:
    op.execute("ALTER TABLE request ADD COLUMN own_kind varchar(16), ADD COLUMN operator jsonb")
    op.execute("ALTER TABLE request ADD COLUMN second_id uuid REFERENCES input_image (id)")
    op.execute("CREATE INDEX ix_request_second_id ON request (second_id) WHERE second_id IS NOT NULL")
    op.execute("""
        CREATE TABLE fidelity (
            image_id uuid NOT NULL REFERENCES image (id) ON DELETE CASCADE,
            measure varchar(16) NOT NULL,
            value double precision NOT NULL,
            PRIMARY KEY (image_id, measure)
        )
    """)
    op.execute(FIDELITY)
    comment_views("0041")
    op.execute(READERS)


def downgrade() -> None:
    op.execute("DROP VIEW report_fidelity")
    op.execute("DROP TABLE fidelity")
    for column in ("second_id", "operator", "own_kind"):
        op.execute(f"ALTER TABLE request DROP COLUMN {column}")
