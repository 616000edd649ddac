"""The newest migration on a database that has rows, there and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, create_engine, text

from core.database import alembic_config, migrate, sqlalchemy_url

LATENT = """
INSERT INTO cached_latent (family, model, version, width, height, steps, scheduler, k, embedding, key, bytes, uses)
SELECT 'f', 'm', '1', 8, 8, 9, 's', {k}, array_fill(0.1, ARRAY[384])::vector::halfvec(384), '{key}', 100, {uses}
"""


@pytest.fixture
def url(services: Any) -> Iterator[str]:
    """An empty database beside the one of the other tests."""
    name, server = "argus_migrations", services.superuser_url
    with create_engine(sqlalchemy_url(server), isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        yield server.rsplit("/", 1)[0] + f"/{name}"
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def to(url: str, revision: str) -> None:
    config = alembic_config()
    config.attributes["url"] = url
    (command.upgrade if revision > "0009" else command.downgrade)(config, revision)


def totals(connection: Connection) -> tuple[int, int]:
    row = connection.execute(text("SELECT entries, bytes FROM latent_total")).one()
    return row.entries, row.bytes


def test_cached_latents_keep_their_count_and_what_they_saved(url: str) -> None:
    migrate(url)
    to(url, "0009")
    with create_engine(sqlalchemy_url(url)).begin() as connection:
        connection.execute(text(LATENT.format(k=4, key="a-4", uses=3)))
    to(url, "0010")
    with create_engine(sqlalchemy_url(url)).begin() as connection:
        connection.execute(text(LATENT.format(k=8, key="b-8", uses=0)))
        assert totals(connection) == (2, 200)
        saved = connection.execute(text("SELECT latent_id, steps_saved FROM latent_use ORDER BY latent_id"))
        assert [tuple(row) for row in saved] == [(1, 12), (2, 0)]
        connection.execute(text("UPDATE latent_use SET steps_saved = 16 WHERE latent_id = 2"))
        connection.execute(text("DELETE FROM cached_latent WHERE key = 'a-4'"))
        assert totals(connection) == (1, 100)
        assert connection.execute(text("SELECT count(*) FROM latent_use")).scalar_one() == 1
    to(url, "0009")
    with create_engine(sqlalchemy_url(url)).begin() as connection:
        assert connection.execute(text("SELECT uses FROM cached_latent")).scalar_one() == 2
        connection.execute(text("SELECT * FROM report_level, report_minute, report_request"))
    to(url, "0010")
    with create_engine(sqlalchemy_url(url)).begin() as connection:
        connection.execute(text("TRUNCATE cached_latent"))
        assert totals(connection) == (0, 0)
        assert connection.execute(text("SELECT count(*) FROM latent_use")).scalar_one() == 0
