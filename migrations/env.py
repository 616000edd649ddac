"""Alembic's entry: migrate the database that Argus uses (`alembic upgrade head`, or `core.database` at start-up)."""

from alembic import context
from sqlalchemy import create_engine, pool

from core.all_tables import Base
from core.database import sqlalchemy_url
from core.services import migration_url


def run() -> None:
    """Apply the migrations in one transaction, on a connection of their own."""
    url = context.config.attributes.get("url") or migration_url()
    engine = create_engine(sqlalchemy_url(url), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
        with context.begin_transaction():
            context.run_migrations()


run()
