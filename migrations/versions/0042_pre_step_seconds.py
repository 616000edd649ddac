"""What a request's own forwards took, whatever its device did between them; device seconds are told by it."""

from alembic import op

from migrations.statements import replace_in_functions

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

WALL = "a.denoise_s / greatest(a.batch_mean, 1)"
OWN = "coalesce(a.share_s, a.denoise_s / greatest(a.batch_mean, 1))"


def upgrade() -> None:
    op.execute("ALTER TABLE attempt ADD COLUMN step_s double precision, ADD COLUMN share_s double precision")
    replace_in_functions(WALL, OWN)


def downgrade() -> None:
    replace_in_functions(OWN, WALL)
    op.execute("ALTER TABLE attempt DROP COLUMN step_s, DROP COLUMN share_s")
