"""Real PostgreSQL and Valkey for the whole session, on ports and folders of their own, gone afterwards."""

from __future__ import annotations

import ast
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bench.own import Services, own_home, own_services
from core.settings import settings
from tests import fuzz
from tests.installation import Installation, install

for name in [name for name in os.environ if name.startswith("ARGUS_")]:
    del os.environ[name]  # a developer's settings must not reach the tests
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
fuzz.register()

if sys.version_info < (3, 11, 8):
    # Before, two threads that parse at once fail with "AST constructor recursion depth mismatch" (CPython gh-106905):
    # pytest rewrites what a thread imports while Werkzeug builds a rule in another.
    _parse, _parsing = ast.parse, threading.RLock()

    def parse_one_at_a_time(*arguments: Any, **options: Any) -> ast.AST:
        """``ast.parse``, a thread at a time."""
        with _parsing:
            return _parse(*arguments, **options)

    ast.parse = parse_one_at_a_time  # type: ignore[assignment]


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """PostgreSQL (migrated) and Valkey; this process's settings point at them."""
    with own_home("test") as home, own_services(home) as running:
        with environment(running.environ()):
            settings.cache_clear()
            yield running
        settings.cache_clear()


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Argus from its wheel, in an environment of its own."""
    return install(tmp_path_factory.mktemp("installation"))


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for a while."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value


@pytest.fixture
def database(services: Services) -> Services:
    """The services with every table and the broker emptied."""
    import redis

    empty_tables(services)
    with redis.Redis.from_url(services.broker_url) as client:
        client.flushdb()
    return services


def empty_tables(services: Services) -> None:
    """Every table without rows, ids from 1 again. The role that Argus itself runs with has no right to that."""
    import psycopg2

    from core.all_tables import Base

    tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
    with psycopg2.connect(services.superuser_url) as connection, connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
    connection.close()
