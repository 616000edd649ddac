"""How far requests are and what they look like on the way, how many such previews are wanted, and word of it.

Both tables are unlogged: after a crash of the server they are empty, and nobody misses a thing. Every request that is
queued, ends or is scored, by whichever statement and whichever version of Argus, is told on the channel `argus_job`,
with its job's id, when that commits (docs/decisions/0078).
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE request ADD COLUMN previews smallint NOT NULL DEFAULT 0")
    op.execute(
        "CREATE UNLOGGED TABLE progress (request_id uuid PRIMARY KEY REFERENCES request ON DELETE CASCADE, "
        "step int NOT NULL, steps int NOT NULL, updated_at timestamptz NOT NULL DEFAULT now())"
    )
    op.execute(
        "CREATE UNLOGGED TABLE preview (request_id uuid REFERENCES request ON DELETE CASCADE, number smallint, "
        "image bytea NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (request_id, number))"
    )
    op.execute(
        "CREATE FUNCTION tell_of_job() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN PERFORM pg_notify('argus_job', NEW.job_id::text); RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER tell_of_job AFTER UPDATE ON request FOR EACH ROW WHEN "
        "(NEW.state <> OLD.state AND NEW.state <> 'running' OR NEW.scored_at > coalesce(OLD.scored_at, '-infinity')) "
        "EXECUTE FUNCTION tell_of_job()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER tell_of_job ON request")
    op.execute("DROP FUNCTION tell_of_job")
    op.execute("DROP TABLE preview")
    op.execute("DROP TABLE progress")
    op.execute("ALTER TABLE request DROP COLUMN previews")
