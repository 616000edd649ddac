"""Kinds of job with samplers of their own are reported beside the levels: they say nothing of what `exact` takes."""

from migrations.statements import comment_views, replace_in_functions, replace_in_views

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

IN_FUNCTIONS = {
    "coalesce(r.level, 'unrouted')": "coalesce(r.own_kind, r.level, 'unrouted')",
    "a.denoise_s IS NOT NULL THEN r.steps": "a.denoise_s IS NOT NULL AND r.own_kind IS NULL THEN r.steps",
}
SAVED = "sum(((t.pixel_steps * e.seconds) - t.device_s))"
SAVED_OF_LEVELS = f"{SAVED} FILTER (WHERE (t.pixel_steps > (0)::double precision))"


def upgrade() -> None:
    for old, new in IN_FUNCTIONS.items():
        replace_in_functions(old, new)
    replace_in_views(SAVED, SAVED_OF_LEVELS)
    comment_views("0043")


def downgrade() -> None:
    replace_in_views(SAVED_OF_LEVELS, SAVED)
    for old, new in IN_FUNCTIONS.items():
        replace_in_functions(new, old)
