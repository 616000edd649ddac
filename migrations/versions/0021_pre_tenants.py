"""Tenants, the keys that speak for them, and whose everything is: that of the default tenant, so far."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

OWNED = ("job", "request", "stored_file", "batch")


def upgrade() -> None:
    op.execute(
        "CREATE TABLE tenant (name varchar(40) PRIMARY KEY, weight double precision NOT NULL DEFAULT 1, "
        "daily_images int, rate text, retention_days double precision, created_at timestamptz NOT NULL DEFAULT now())"
    )
    op.execute("INSERT INTO tenant (name) VALUES ('default')")
    op.execute(
        "CREATE TABLE api_key (id varchar(16) PRIMARY KEY, tenant varchar(40) NOT NULL REFERENCES tenant, "
        "name text NOT NULL, hash varchar(64) NOT NULL, scopes text[] NOT NULL, "
        "created_at timestamptz NOT NULL DEFAULT now(), expires_at timestamptz, revoked_at timestamptz, "
        "used_at timestamptz)"
    )
    op.execute("CREATE INDEX ix_api_key_tenant ON api_key (tenant)")
    op.execute("CREATE TABLE tenant_day (tenant varchar(40), day date, images int NOT NULL, PRIMARY KEY (tenant, day))")
    for table in OWNED:
        op.execute(f"ALTER TABLE {table} ADD COLUMN tenant varchar(40) NOT NULL DEFAULT 'default'")
    op.execute("CREATE INDEX ix_job_tenant_created ON job (tenant, created_at)")


def downgrade() -> None:
    for table in OWNED:
        op.execute(f"ALTER TABLE {table} DROP COLUMN tenant")
    for table in ("tenant_day", "api_key", "tenant"):
        op.execute(f"DROP TABLE {table}")
