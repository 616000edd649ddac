"""Alembic's entry: migrate the database that Argus uses (`alembic upgrade head`, or `core.database` at start-up)."""

from alembic import context
from sqlalchemy import create_engine, pool

import core.batch_tables
import core.client_tables  # noqa: F401 - tables
from core.database import sqlalchemy_url
from core.services import migration_url
from core.tables import Base


def run() -> None:
    """Apply the migrations in one transaction, on a connection of their own."""
    url = context.config.attributes.get("url") or migration_url()
    engine = create_engine(sqlalchemy_url(url), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
        with context.begin_transaction():
            context.run_migrations()


run()
