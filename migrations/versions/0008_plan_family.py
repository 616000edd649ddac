"""Each plan belongs to a family: one family's tick no longer retires another's plan.

Schedulers of the version before write no family; the empty one counts as everybody's for one version.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE plan ADD COLUMN family text NOT NULL DEFAULT ''")
    op.execute("UPDATE plan SET family = coalesce((SELECT family FROM worker ORDER BY seen_at DESC LIMIT 1), '')")
    op.execute("CREATE INDEX ix_plan_family_epoch ON plan (family, epoch DESC)")
    op.execute("CREATE INDEX ix_assignment_worker_id ON assignment (worker, id DESC)")


def downgrade() -> None:
    op.execute("DROP INDEX ix_assignment_worker_id")
    op.execute("ALTER TABLE plan DROP COLUMN family")
