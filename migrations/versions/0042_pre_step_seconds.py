"""What a request's own forwards took, whatever its device did between them; device seconds are told by it."""

from alembic import op

from migrations.statements import replace_in_functions

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

COLUMNS = ("step_s", "work_s", "share_s")
WALL = "a.denoise_s / greatest(a.batch_mean, 1)"
OWN = "coalesce(a.share_s, a.denoise_s / greatest(a.batch_mean, 1))"


def upgrade() -> None:
    for column in COLUMNS:
        op.execute(f"ALTER TABLE attempt ADD COLUMN {column} double precision")
    replace_in_functions(WALL, OWN)


def downgrade() -> None:
    replace_in_functions(OWN, WALL)
    for column in COLUMNS:
        op.execute(f"ALTER TABLE attempt DROP COLUMN {column}")
