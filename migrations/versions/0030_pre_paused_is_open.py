"""A paused request that is cancelled has ended: the sums of 0022, which knew no pause, count it from now on."""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

OPEN = "'accepted', 'queued', 'running'"
STATE = "COMMENT ON COLUMN report_request.state IS '{}'"
TRIGGER = """
CREATE CONSTRAINT TRIGGER tally_ended AFTER UPDATE ON request DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN
    (NEW.state IN ('done', 'failed', 'cancelled') AND OLD.state IN ({open})
     AND (OLD.stored_at IS NULL OR NEW.stored_at IS DISTINCT FROM OLD.stored_at))
    EXECUTE FUNCTION tally_ended()
"""


def upgrade() -> None:
    _count_ends_of(f"{OPEN}, 'paused'", "0030")


def downgrade() -> None:
    _count_ends_of(OPEN, "0023")


def _count_ends_of(states: str, comments: str) -> None:
    from migrations.report_comments import COMMENTS

    op.execute("DROP TRIGGER tally_ended ON request")
    op.execute(TRIGGER.format(open=states))
    op.execute(STATE.format(COMMENTS[comments]["report_request"][1]["state"]))
