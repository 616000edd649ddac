"""What a request's own forwards took, whatever its device did between them; device seconds are told by it."""

from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

WALL = "a.denoise_s / greatest(a.batch_mean, 1)"
OWN = "coalesce(a.step_s * a.steps_run, a.denoise_s) / greatest(a.batch_mean, 1)"


def upgrade() -> None:
    op.execute("ALTER TABLE attempt ADD COLUMN step_s double precision")
    rewrite(WALL, OWN)


def downgrade() -> None:
    rewrite(OWN, WALL)
    op.execute("ALTER TABLE attempt DROP COLUMN step_s")


def rewrite(old: str, new: str) -> None:
    """Replace a term in every function that has it."""
    op.execute(f"""
        DO $$ DECLARE definition text; BEGIN
            FOR definition IN
                SELECT pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                WHERE n.nspname = current_schema() AND p.prokind = 'f' AND strpos(p.prosrc, '{old}') > 0
            LOOP
                EXECUTE replace(definition, '{old}', '{new}');
            END LOOP;
        END $$
    """)
